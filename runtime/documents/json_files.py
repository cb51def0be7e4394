"""Records in JSON: one object a line, or a file with a list of records or an object of id -> text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import is_list, is_object
from .packed import read_lines, read_whole
from .records import TEXT_NEEDED, TEXTS, NoRecords, Record, make_record


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) for every line that is not empty."""
    for number, line in read_lines(path):
        if line.strip():
            value = _parsed(line, f"{path}, line {number}")
            if not is_object(value):
                raise InputError(f"{path}, line {number}: a JSON object is needed; fix the line")
            yield number, value


def json_line_records(path: Path) -> Iterator[Record]:
    """Yield the record of each line."""
    for number, value in read_json_lines(path):
        yield make_record(value, number, f"{path}, line {number}")


def json_records(path: Path) -> Iterator[Record]:
    """Yield the records of a JSON file; `NoRecords` when it is neither a list of them nor an object of id -> text."""
    for number, value in enumerate(_members(_parsed(read_whole(path), str(path)), path), start=1):
        yield make_record(value, number, f"{path}, record {number}")


def _members(value: Any, path: Path) -> list[dict[str, Any]]:
    if is_object(value) and any(isinstance(value.get(name), str) for name in TEXTS[:2]):
        return [value]  # one record
    if is_object(value):
        lists = [item for item in value.values() if is_list(item) and item and all(map(is_object, item))]
        value = lists[0] if len(lists) == 1 else value  # as in {"version": 1, "data": [...]}
    named: list[tuple[str | None, Any]] = (
        list(value.items()) if is_object(value) else [(None, item) for item in value] if is_list(value) else []
    )
    texts = [{"id": name, "text": item} for name, item in named if isinstance(item, str)]
    objects = [{"id": name, **item} for name, item in named if is_object(item)]
    members = texts or objects
    if not (is_list(value) or is_object(value)) or len(members) < len(named):
        raise NoRecords(f"{path}: a list of records is needed, or an object of id -> text; fix the file")
    if members and not any(isinstance(item.get(name), str) for item in members for name in TEXTS):
        raise NoRecords(f"{path}: no record has {TEXT_NEEDED}; rename the key")
    return members


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise InputError(f"{where}{line}: not valid JSON ({error.msg} at {error.colno}); fix it") from None
    except ValueError as error:  # a number with thousands of digits
        raise InputError(f"{where}: not valid JSON ({error}); fix it") from None
    except RecursionError:
        raise InputError(f"{where}: JSON nested too deeply; fix it") from None
