"""Which files are documents: kinds by the end of the name in any case, each also packed as `.gz`; what folders hold."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from ..errors import InputError
from .document import valid_name
from .remarks import Remarks, by_count

Kind = Literal["text", "markdown", "rst", "html", "json lines", "json", "csv", "tsv", "parquet"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
PROSE = ("text", "markdown", "rst", "html")
NEVER = ("node_modules", "__pycache__")  # besides all that is hidden: what programs keep for themselves


@dataclass(frozen=True)
class Source:
    """One file of documents."""

    path: Path
    label: str  # its name, or its path inside the folder that was named; always valid UTF-8
    kind: Kind
    in_folder: bool  # the user named a folder, not this file


def find_sources(root: Path, remarks: Remarks) -> list[Source]:
    """Return the file `root`, or the files of known kinds below the folder `root` in the order of their paths.

    Raises `InputError` when there is no such path, or it is a file of an unknown kind. In a folder, files of unknown
    kinds are a remark; hidden files and folders, `node_modules` and `__pycache__` are left out without one.
    """
    try:
        root.stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "does not exist" if missing else f"cannot be read ({error.strerror})"
        raise InputError(f"{str(root)[:200]} {what}; name a file or folder of documents") from None
    if root.is_dir():
        return _below(root, remarks)
    kind = kind_of(root)
    if kind is None or not root.is_file():
        what = f"files that end in {_suffix(root)!r}" if _suffix(root) else "files without a suffix"
        what = what if root.is_file() else "what is neither file nor folder"
        raise InputError(f"{root}: {what} cannot be read; make it one of {', '.join(KINDS)}, or .gz of one")
    return [Source(root, valid_name(root.name), kind, in_folder=False)]


def kind_of(path: PurePath) -> Kind | None:
    """Return the kind of a file by its name; `None` for one that is not read."""
    kind = KINDS.get(_suffix(path).removesuffix(".gz"))
    return None if kind == "parquet" and path.suffix.lower() == ".gz" else kind


def _suffix(path: PurePath) -> str:
    suffix = path.suffix.lower()
    return PurePath(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def _below(root: Path, remarks: Remarks) -> list[Source]:
    found: list[Source] = []
    unread: list[str] = []
    suffixes: Counter[str] = Counter()
    for folder, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NEVER]
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            kind, label = kind_of(path), valid_name(path.relative_to(root).as_posix())
            if not path.is_file():
                continue
            if kind is None:
                suffixes[_suffix(path) or "no suffix"] += 1
                unread.append(label)
                continue
            found.append(Source(path, label, kind, in_folder=True))
            if label != path.relative_to(root).as_posix():
                remarks.add("names of files that are not UTF-8, their bytes are shown", label)
    for label in sorted(unread):
        remarks.add(f"files left out because their kind is not read ({by_count(suffixes)})", label)
    return sorted(found, key=lambda source: source.label)


def _refuse_folder(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}; change its mode, or name another folder")
