"""Tables of measurements that scripts of their own made: whatever rows a JSON file in docs/results has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ROWS = ("variants", "systems", "rows", "ndcg10")  # where a file may keep its rows
_OWN_SECTION = ("teacher-dimensions-", "training-minutes")
_MOST_COLUMNS = 14


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table whose first `left` columns are aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(columns) - left)
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Return a figure with its interval."""
    return f"{values[0]:.{digits}f} [{values[1]:.{digits}f}, {values[2]:.{digits}f}]"


def further_sections(others: Mapping[str, Any]) -> Iterator[str]:
    """Yield a heading, the facts and a table for every file that has rows."""
    for name, content in others.items():
        rows = [] if name.startswith(_OWN_SECTION) else list(_rows(content))
        if not rows:
            continue
        yield f"## {content.get('title') or name.replace('-', ' ').replace('_', ' ').capitalize()}\n"
        if facts := list(_facts(content)):
            yield ", ".join(facts) + ".\n"
        columns = list(dict.fromkeys(key for _, row in rows for key in row))
        columns = [key for key in columns if len({str(row.get(key)) for _, row in rows}) > 1 or len(rows) == 1]
        columns = columns[:_MOST_COLUMNS]
        yield table(
            ["", *(key.replace("_", " ") for key in columns)],
            [[label, *(_cell(row.get(key)) for key in columns)] for label, row in rows],
        )


def _rows(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(content, dict):
        return
    for key in _ROWS:
        rows = content.get(key)
        if isinstance(rows, dict) and rows:
            for name, row in rows.items():
                yield str(name), _flat(row) if isinstance(row, dict) else {key: row}
            return
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            for row in rows:
                flat = _flat(row)
                label = next((key for key in ("name", "variant", "start", "method") if key in flat), "")
                yield str(flat.pop(label, "")), flat
            return


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return scalars and [value, low, high]; inner tables come in with their name in front."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and value.keys() == {"value", "low", "high"}:
            flat[f"{before}{key}"] = [value["value"], value["low"], value["high"]]
        elif isinstance(value, dict):
            flat |= _flat(value, f"{before}{key} ")
        elif _is_scalar(value) or _is_interval(value):
            flat[f"{before}{key}"] = value
    return flat


def _facts(content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        if key == "command":
            yield f"`{value}`"
        elif _is_scalar(value) and key not in ("title", "schema_version", "sha256"):
            yield f"{key.replace('_', ' ')} {_cell(value)}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (int, float, bool)) or (isinstance(value, str) and len(value) <= 200)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(one, (int, float)) for one in value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if _is_interval(value):
        return interval(value)
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
