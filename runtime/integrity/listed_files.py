"""The files that a manifest lists with size and hash: is each of them what it was when the manifest was written?

Links to files are followed, because what counts is their content, and it is hashed: a bundle in a hub's cache is a
folder of links. Only a *name* in a manifest must not lead out of its folder (`files.safe_join`).
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, VerificationError
from ..files import FILE_SYSTEMS_OWN, safe_join, sha256_file

HUB_FILES = frozenset({".gitattributes"})  # what a model hub puts into every folder; part of no bundle

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class FileEntry:
    """One listed file."""

    bytes: int  # size of the file
    sha256: str  # 64 hexadecimal digits

    def __post_init__(self) -> None:
        """Refuse what no file can have."""
        if self.bytes < 0:
            raise ValueError(f"bytes = {self.bytes} is negative; make it again")
        if not _SHA256.match(self.sha256):
            raise ValueError(f"sha256 = {self.sha256!r} is not 64 hexadecimal digits; make it again")


def walk_files(folder: Path) -> tuple[set[str], list[str]]:
    """Return the names of the files below `folder`, and of all that is neither a file nor a folder with files in it.

    Links to files are files; links to folders, and links that lead nowhere, are strange.
    """
    plain: set[str] = set()
    strange: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=False):
        if Path(parent) == folder and FILE_SYSTEMS_OWN in folders:  # the folder is a mount point
            folders.remove(FILE_SYSTEMS_OWN)
        for entry in sorted(folders + files):
            path = Path(parent) / entry
            name = path.relative_to(folder).as_posix()
            if path.is_file():
                plain.add(name)
            elif path.is_symlink() or not path.is_dir():
                strange.append(name)
            elif not any(path.iterdir()):
                strange.append(f"{name}/ (empty)")
    return plain - HUB_FILES, strange


def list_entries(folder: Path, ignored: Collection[str] = ()) -> dict[str, FileEntry]:
    """Return size and hash of every file below `folder` but the `ignored` ones, by name, in the order of the names."""
    names, strange = walk_files(folder)
    if strange:
        raise InputError(f"{folder / strange[0]} is no plain file; take it out, or put the file itself in its place")
    return {name: file_entry(folder / name) for name in sorted(names - set(ignored))}


def checked_file(folder: Path, name: str, entry: FileEntry, advice: str) -> Path:
    """Return the path of the file `name` when size and hash are those of `entry`, else raise `VerificationError`.

    Raises `InputError` for a name that leads out of `folder`. Messages end in `advice`.
    """
    path = sized_file(folder, name, entry, advice)
    if sha256_file(path) != entry.sha256:
        raise VerificationError(f"{path} differs from the manifest (same size, other content); {advice}")
    return path


def sized_file(folder: Path, name: str, entry: FileEntry, advice: str) -> Path:
    """Do what `checked_file` does, but look at the size alone."""
    path = safe_join(folder, name)
    if not path.is_file():
        raise VerificationError(f"{path} is missing; {advice}")
    size = path.stat().st_size
    if size != entry.bytes:
        raise VerificationError(
            f"{path} differs from the manifest ({size:,} bytes instead of {entry.bytes:,}); {advice}"
        )
    return path


def file_entry(path: Path) -> FileEntry:
    """Return size and hash of a file."""
    return FileEntry(bytes=path.stat().st_size, sha256=sha256_file(path))
