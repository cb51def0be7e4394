"""Tables of reports that studies of their own made: whatever rows a JSON file has."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.results.markdown import interval, table
from experiments.results.records import Results

_ROWS = ("variants", "systems", "rows", "ndcg10")  # where a file may keep its rows
_MOST_COLUMNS = 14


def further(results: Results, *, names: Sequence[str]) -> Iterator[str]:
    """Yield a heading, the facts and a table for every file of `names` that has rows."""
    for name in names:
        content = results.others.get(name, {})
        rows = list(_rows(content))
        if not rows:
            continue
        yield f"## {content.get('title') or _words(name.replace('-', ' ')).capitalize()}\n"
        if facts := list(_facts(content)):
            yield ", ".join(facts) + ".\n"
        columns = list(dict.fromkeys(key for _, row in rows for key in row))
        columns = [key for key in columns if len({str(row.get(key)) for _, row in rows}) > 1 or len(rows) == 1]
        columns = columns[:_MOST_COLUMNS]
        yield table(
            ["", *map(_words, columns)],
            [[_words(label), *(_cell(row.get(key)) for key in columns)] for label, row in rows],
        )


def _rows(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
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
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{key} ")
        elif _is_scalar(value) or _is_interval(value):
            flat[f"{before}{key}"] = value
    return flat


def _facts(content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        if key == "command":
            yield f"`{value}`"
        elif _is_scalar(value) and key not in ("title", "schema_version", "sha256"):
            yield f"{_words(key)} {_cell(value)}"


def _words(key: str) -> str:
    return key.replace("_", " ").replace("ndcg10", "nDCG@10").replace("bm25", "BM25")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (int, float, bool)) or (isinstance(value, str) and len(value) <= 200)


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(number, (int, float)) for number in value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if _is_interval(value):
        return interval(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
