"""Files of vectors that exist already: .npy, .safetensors or .parquet, with what names their rows.

A Parquet file has a column of vectors (`vector` or `embedding`) and one of ids or texts. The other two are named by a
file beside them: `NAME.jsonl`, a record a row with its text or id, or `NAME.txt`, a line a row. Rows without any name
are in the order of the collection that they were made of.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.documents.json_files import json_line_records
from ...runtime.documents.packed import read_lines
from ...runtime.documents.records import IDS, TEXTS
from ...runtime.errors import InputError, UnavailableError

VECTORS = ("vector", "embedding", "vectors", "embeddings", "emb")  # names of columns and tensors
KINDS = (".npy", ".safetensors", ".parquet")
_NOT_NUMBERS = "save the vectors as float32 [rows, dimension]"

NamedBy = Literal["text", "id", "order"]


@dataclass(frozen=True)
class VectorTable:
    """Rows of numbers and what each row is called."""

    path: Path
    rows: np.ndarray  # float [rows, dimension], mapped from disk where the file is .npy
    named_by: NamedBy
    names: Sequence[str]  # one a row; none where the order names them

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        return self.rows.shape[1]

    def vectors(self, chosen: Sequence[int]) -> np.ndarray:
        """Return rows as unit vectors, float32 [chosen, dimension]; raise `InputError` for one without direction."""
        values = np.asarray(self.rows[np.asarray(chosen, np.int64)], np.float32)
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        good = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)
        if not good.all():
            row = chosen[int(np.flatnonzero(~good)[0])]
            raise InputError(f"{self.path}, row {row + 1}: zeros, or numbers that are not finite; take the row out")
        return values / norms


def companions(path: Path) -> list[Path]:
    """Return the files that decide what `path` says: itself, and the one beside it that names its rows."""
    beside = [] if path.suffix == ".parquet" else [path.with_suffix(".jsonl"), path.with_suffix(".txt")]
    return [path, *[file for file in beside if file.is_file()][:1]]


def open_table(path: Path, lines_are: Literal["text", "id"]) -> VectorTable:
    """Open a file of vectors; `lines_are` says what a `.txt` beside it holds.

    Raises `InputError` for a file that is none, whose rows and names are not equally many, or whose rows have no two
    axes, and `UnavailableError` for Parquet without pyarrow.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a file of vectors")
    if path.suffix not in KINDS:
        raise InputError(f"{path}: vectors are read from {', '.join(KINDS)}; save them as one of these")
    if path.suffix == ".parquet":
        table = _parquet(path)
    else:
        rows = _npy(path) if path.suffix == ".npy" else _safetensors(path)
        table = VectorTable(path, rows, *_names_beside(path, lines_are))
    if table.rows.ndim != 2 or not table.rows.size or not np.issubdtype(table.rows.dtype, np.floating):
        raise InputError(f"{path} holds {table.rows.dtype} {list(table.rows.shape)}; {_NOT_NUMBERS}")
    if table.named_by != "order" and len(table.names) != len(table.rows):
        raise InputError(
            f"{path} has {len(table.rows):,} rows, and {companions(path)[-1]} names {len(table.names):,}; write one "
            "name for each row, in order"
        )
    return table


def _npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is no whole .npy file of numbers ({error}); {_NOT_NUMBERS}") from None


def _safetensors(path: Path) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            keys = list(file.keys())
            named = [key for key in VECTORS if key in keys] or (keys if len(keys) == 1 else [])
            if not named:
                raise InputError(f"{path} has the tensors {', '.join(keys)}; name that of the vectors {VECTORS[2]!r}")
            return file.get_tensor(named[0])
    except (SafetensorError, OSError, TypeError) as error:  # a type that NumPy has not, such as bfloat16
        raise InputError(f"{path} cannot be read ({error}); {_NOT_NUMBERS}") from None


def _parquet(path: Path) -> VectorTable:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UnavailableError(f"{path} needs the package pyarrow; pip install 'pocketrank[parquet]'") from None
    try:
        names = parquet.read_schema(path).names
        vectors, texts, ids = (_first(kind, names) for kind in (VECTORS, TEXTS, IDS))
        if not vectors or not (texts or ids):
            raise InputError(
                f"{path} has the columns {', '.join(names)}; one of vectors ({VECTORS[0]}) and one of texts or ids "
                "are needed"
            )
        table = parquet.read_table(path, columns=[vectors, texts or ids])
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({error}); fetch it again") from None
    column: Any = table[vectors].combine_chunks()
    column = column.chunk(0) if hasattr(column, "chunk") else column
    lengths = set(column.value_lengths().to_pylist()) if hasattr(column, "value_lengths") else {None}
    if len(lengths) != 1 or None in lengths or column.flatten().null_count:
        raise InputError(f"{path}: the column {vectors} holds no lists of equally many numbers; {_NOT_NUMBERS}")
    rows = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return VectorTable(path, rows, "text" if texts else "id", [str(name) for name in table[texts or ids].to_pylist()])


def _first(wanted: Sequence[str], there: Sequence[str]) -> str:
    return next((name for name in wanted if name in there), "")


def _names_beside(path: Path, lines_are: Literal["text", "id"]) -> tuple[NamedBy, list[str]]:
    *_, beside = companions(path)
    if beside == path:
        return "order", []
    if beside.suffix == ".txt":
        return lines_are, [line.strip() for _, line in read_lines(beside)]
    records = list(json_line_records(beside))
    if all(record.has_text for record in records):
        return "text", [f"{record.title} {record.text}".strip() for record in records]
    return "id", [record.id for record in records]
