"""Files that list short texts, such as queries: one a line, or one a record."""

from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .kinds import PROSE, Source, find_sources
from .packed import read_lines
from .read import read_records
from .remarks import Remarks


def text_source(path: Path) -> Source:
    """Return the file `path` as a list of texts; raise `InputError` for a folder, prose, and an unknown kind."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file with one text a line, or one a record")
    (source,) = find_sources(path, Remarks())
    if source.kind in PROSE and source.kind != "text":
        raise InputError(f"{path} is prose, not a list of texts; put one text on a line of a .txt file")
    return source


def read_texts(path: Path) -> Iterator[str]:
    """Yield the texts of a file, none of them empty: lines of .txt, else the records of a kind that has them.

    Raises `InputError` for what `text_source` refuses, and for a record without text, which it names.
    """
    source, remarks = text_source(path), Remarks()
    if source.kind == "text":
        yield from (line for _, line in read_lines(path) if line.strip())
        return
    for record in read_records(source, remarks):
        yield record.text or record.title
    if str(remarks):
        raise InputError(f"{path}: {remarks}; fix the file")
