"""Budgets, and what they decide about a report."""
