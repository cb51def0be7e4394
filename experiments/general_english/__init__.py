"""The general English student: its texts, and how it is shipped."""
