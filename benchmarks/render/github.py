"""A verdict where GitHub shows it: annotations on the budget's lines, and the summary of the job."""

import re

from ...runtime.progress import visible
from ..gate.judge import Check, Verdict
from .tables import Table, changed_tables, markdown_table, verdict_table

_PLACE = re.compile(r"(?P<file>.+), line (?P<line>\d+): ")
_NAMED = 3  # queries that an annotation names
_COMMANDS = {"fail": "error", "inconclusive": "warning"}


def annotations(verdict: Verdict) -> list[str]:
    """Return a workflow command for each limit that was not met, pointing at its line in the budget file."""
    return [_annotation(check) for check in verdict.checks if check.outcome != "pass"]


def summary(verdict: Verdict) -> str:
    """Return the summary of the job in Markdown: the verdict, and every limit in a table."""
    table = verdict_table(verdict)
    marks = {"pass": "✅ pass", "FAIL": "❌ **fail**", "inconclusive": "⚠️ inconclusive"}
    rows = [[row[0], marks[row[1]], *row[2:]] for row in table.rows]
    title = f"pocketrank gate: {verdict.verdict}"
    baseline = f", baseline release {verdict.baseline}" if verdict.baseline else ""
    note = f"{verdict.subject} against {verdict.budget}{baseline}"
    lines = markdown_table(Table(title, table.columns, rows, note))
    for changed in changed_tables(verdict):
        lines += markdown_table(changed)
    return "\n".join(lines) + "\n"


def _annotation(check: Check) -> str:
    match = _PLACE.match(check.place)
    where = {"file": match["file"], "line": match["line"]} if match and match["line"] != "0" else {}
    device = f" on {check.device}" if check.device else ""
    where["title"] = f"{check.metric}{device}: {check.outcome}"
    advice = f" What would help: {check.advice}." if check.advice else ""
    properties = ",".join(f"{key}={_property(value)}" for key, value in where.items())
    changed = "; ".join(f"{entry.query} ({entry.before[0]} → {entry.now[0]})" for entry in check.changed[:_NAMED])
    changed = f" Changed most: {changed}." if changed else ""
    return f"::{_COMMANDS[check.outcome]} {properties}::{_message(check.reason + '.' + changed + advice)}"


def _message(text: str) -> str:
    """Escape what would end a workflow command or start another; a line end is no part of visible text."""
    return visible(text).replace("%", "%25")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
