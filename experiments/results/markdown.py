"""Figures and tables in Markdown."""

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table whose first `left` columns are aligned to the left, without columns that are all empty."""
    shown = [number for number in range(len(columns)) if any(row[number] for row in rows) or not rows]
    rule = ["---" if number < left else "---:" for number in range(len(columns))]
    lines = ([line[number] for number in shown] for line in (columns, rule, *rows))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Return a figure with its interval."""
    return f"{values[0]:.{digits}f} [{values[1]:.{digits}f}, {values[2]:.{digits}f}]"


def percent(values: Sequence[float] | None) -> str:
    """Return a share with its interval."""
    return f"{values[0]:.1%} [{values[1]:.1%}, {values[2]:.1%}]" if values else "-"


def megabytes(size: float) -> str:
    """Return bytes in millions."""
    return f"{size / 1e6:.2f} MB"


def verdict(value: float | None, target: float) -> str:
    """Tell whether a share reaches its target, and if not, by how much it falls short."""
    if value is None:
        return "-"
    return "reached" if value >= target else f"{100 * (value - target):+.1f} points"
