"""Records in tables: CSV, TSV and Parquet.

The first line names the columns. Without names a table has one column, the text, or two, id and text. CSV is separated
by commas, or by what separates the names that it begins with: semicolons or tabs. In TSV a quote is a character like
any other, as in the collections that are published.
"""

import csv
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError, UnavailableError
from .packed import MAX_LINE_BYTES, read_lines
from .records import TEXT_NEEDED, TEXTS, NoRecords, Record, make_record
from .remarks import Remarks

ROWS = 256  # of Parquet, at a time
_UNNAMED = (("text",), ("id", "text"))


def table_records(path: Path, separators: str, remarks: Remarks) -> Iterator[Record]:
    """Yield the record of each row of a table whose cells one of `separators` parts."""
    first = next((line for _, line in read_lines(path) if line.strip()), "")
    separator = next((mark for mark in separators if _names(_cells(first, mark))), separators[0])
    csv.field_size_limit(MAX_LINE_BYTES)
    quoting = csv.QUOTE_NONE if separators == "\t" else csv.QUOTE_MINIMAL
    lines = (f"{line}\n" for _, line in read_lines(path))
    rows = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    columns: tuple[str, ...] = ()
    try:
        for cells in rows:
            where = f"{path}, line {rows.line_num}"
            if not any(cells):
                continue
            if not columns:
                columns = _names(cells)
                if columns:
                    continue
                columns = _guessed(cells, path)
                remarks.add(f"tables without names of columns, read as {', '.join(columns)}", path.name)
            if len(cells) > len(columns):
                raise InputError(f"{where}: {len(cells)} cells, but {len(columns)} columns; fix the line")
            yield make_record(dict(zip(columns, cells, strict=False)), rows.line_num, where)
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: not a valid table ({error}); fix the line") from None


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _names(cells: list[str]) -> tuple[str, ...]:
    """Return the first row as names of columns; empty when none of them is a text's."""
    names = tuple(cell.strip().lower() for cell in cells)
    return names if set(names) & set(TEXTS) else ()


def _guessed(cells: list[str], path: Path) -> tuple[str, ...]:
    if len(cells) > len(_UNNAMED):
        raise NoRecords(f"{path}: the first line names no column for {TEXT_NEEDED}; name the columns id, title, text")
    return _UNNAMED[len(cells) - 1]


def parquet_records(path: Path) -> Iterator[Record]:
    """Yield the record of each row; raise `UnavailableError` without pyarrow."""
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UnavailableError(f"{path} needs the package pyarrow; pip install 'pocketrank[parquet]'") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            _check_columns(table.schema_arrow.names, path)
            for batch in table.iter_batches(batch_size=ROWS):
                rows: list[dict[str, Any]] = batch.to_pylist()
                for number, row in enumerate(rows, start=number + 1):  # noqa: B020  goes on where the last batch ended
                    yield make_record(row, number, f"{path}, row {number}")
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({error}); fetch it again") from None


def _check_columns(names: list[str], path: Path) -> None:
    if not set(names) & set(TEXTS):
        raise NoRecords(f"{path}: none of its columns ({', '.join(names)}) is {TEXT_NEEDED}; rename the column")
