"""The pages and plots of results, written from kept reports."""
