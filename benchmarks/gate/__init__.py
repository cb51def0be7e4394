"""Budgets, and what they decide about a report."""

from .judge import Check, Verdict
from .release import judge_report

__all__ = ["Check", "Verdict", "judge_report"]
