"""Documents in records: objects with an id, a title and a text, under the names that people give them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import InputError

IDS = ("_id", "id", "docid", "doc_id")
TEXTS = ("text", "contents", "content", "body", "document", "passage")

TEXT_NEEDED = f"a text under one of {', '.join(TEXTS)}"


class NoRecords(InputError):  # noqa: N818  a file of another use, which a folder may hold beside documents
    """A file whose kind can hold documents, but that holds none."""


class Record(NamedTuple):
    """One record; `id`, `title` and `text` are empty where it has none."""

    number: int  # of its line, or of the record in the file
    where: str  # the file, and its line or number
    id: str
    title: str
    text: str
    has_text: bool  # under a known name, even if it is empty


def make_record(values: Mapping[str, Any], number: int, where: str) -> Record:
    """Return the record in `values`; raise `InputError` that names it when a value is no text."""
    identifier, text = _first(values, IDS), _first(values, TEXTS)
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    fields = {"id": identifier, "title": values.get("title"), "text": text}
    strings = {key: _string(value, f"{where}: {key!r}") for key, value in fields.items()}
    return Record(number, where, **strings, has_text=text is not None)


def _string(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{what} must be a string; fix it")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{what} holds half a surrogate pair; fix it")
    return value


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)
