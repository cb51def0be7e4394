"""Reading and writing files: whole or not at all, and never outside the folder they belong to."""

import errno
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_LEFTOVERS = (".partial", ".old")  # ends of the names of temporary files and folders, those of 0.1 included
FILE_SYSTEMS_OWN = "lost+found"
# The last two: a mount point or a layer of an image is not to be renamed.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
LONGEST_NAME = 255  # bytes that file systems take


@contextmanager
def reading_errors(path: Path) -> Generator[None, None, None]:
    """Turn a file that cannot be read into an `InputError` that names it and ends with the next action."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, a file is needed; name the file inside it") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: permission denied; change its mode or owner") from None


def read_bytes(path: Path, most: int = 0) -> bytes:
    """Return the bytes of `path`; raise `InputError` that names the path when it cannot be read.

    So does a file of more than `most` bytes; 0: of any size.
    """
    with reading_errors(path):
        size = path.stat().st_size
        if most and size > most:
            raise InputError(f"{path} has {size:,} bytes, at most {most:,} are read; name another file")
        return path.read_bytes()


def read_text(path: Path, most: int = 0) -> str:
    """Return the UTF-8 text of `path`; raise `InputError` that names the first bad byte.

    So does a file of more than `most` bytes; 0: of any size.
    """
    data = read_bytes(path, most)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        action = "unpack the file" if data.startswith(b"\x1f\x8b") else "convert the file to UTF-8"
        raise InputError(f"{path}, line {line}: byte {error.start} is not valid UTF-8; {action}") from None


def read_json(path: Path, most: int = 0) -> Any:
    """Return the parsed JSON of `path`, which has at most `most` bytes (0: any); raise what `parse_json` raises."""
    return parse_json(read_text(path, most), path)


def parse_json(text: str, path: Path, *, unique: bool = False) -> Any:
    """Return the parsed JSON in `text`, the content of `path`; raise `InputError` that names line and column.

    With `unique` a key that occurs twice in an object is refused: readers differ in which of the two they take.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_keys if unique else None)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); fix the file"
        ) from None
    except ValueError as error:  # a number with thousands of digits
        raise InputError(f"{path}: not valid JSON ({error}); fix the file") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply; fix the file") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these keys and values; raise `ValueError` when a key occurs twice."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a value read from JSON or TOML is an object: keys and values."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a value read from JSON or TOML is a list."""
    return isinstance(value, list)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the parsed TOML of `path`; raise `InputError` with the parser's own position."""
    try:
        return tomllib.loads(read_text(path))
    except ValueError as error:  # of the parser, or of a number with thousands of digits
        raise InputError(f"{path}: not valid TOML: {error}; fix the file") from None
    except RecursionError:
        raise InputError(f"{path}: TOML nested too deeply; fix the file") from None


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: permission denied; change its mode or owner") from None


def json_bytes(value: Any) -> bytes:
    """Return readable JSON with a final newline; the same value always gives the same bytes.

    A file's name that is not UTF-8 is written with escapes, such as \\udcff, that read back as the same name.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


@contextmanager
def disk_errors(path: Path) -> Generator[None, None, None]:
    """Turn a full disk or a forbidden folder into an `InputError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"no space left on the disk of {path}; free some space and run again") from error
        if error.errno in _UNWRITABLE:
            raise InputError(f"{path} cannot be written ({error.strerror}); choose another folder") from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all (temporary name beside it, then rename)."""
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.partial")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream, _lock(temporary):
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all."""
    write_bytes(path, json_bytes(value))


def folder_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of every file below `folder` by its relative POSIX path, in the order of the paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def folder_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` by its relative POSIX path, without hidden ones at its top."""
    return {name: sha256_file(folder / name) for name in folder_sizes(folder) if not name.startswith(".")}


@contextmanager
def atomic_folder(path: Path, last: str = "") -> Generator[Path, None, None]:
    """Yield an empty temporary folder whose content becomes that of `path` when the block ends without an error.

    A new folder takes its name by one rename. One that is there already stays, because a mount point and a layer of an
    image cannot be renamed: the temporary folder lies inside it, and in the end the entries change places, the file
    `last` taken away first and put there last, so that a folder that has it is whole. Hidden entries are left alone.
    That all this can be done is tried before the block runs. What killed processes left behind is removed.
    """
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, and a folder is to be written there; choose another name")
        home = path if path.is_dir() else path.parent
        home.mkdir(parents=True, exist_ok=True)
        remove_leftovers(home, path.name)
        temporary = home / f".{path.name[:40]}.{os.getpid()}.partial"
        attempt = temporary.with_suffix(".attempt.partial")
        attempt.mkdir()
        attempt.rename(temporary)
        with _lock(temporary):
            try:
                yield temporary
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            # From here on what is left by an error or a kill tells that `path` is ours, and half replaced.
            _put(temporary, path, last)


def require_space(path: Path, size: int, what: str) -> None:
    """Raise `InputError` when the disk that `path` is, or will be, on has less than `size` bytes free."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    disk = shutil.disk_usage(there)
    if disk.total and disk.free < size:  # some file systems do not tell
        raise InputError(
            f"{what} needs about {size:,} bytes (estimated), and the disk of {path} has {disk.free:,} free; "
            f"free some space or choose another folder"
        )


def _put(source: Path, target: Path, last: str) -> None:
    if not target.exists():
        source.rename(target)
        return
    if last:
        (target / last).unlink(missing_ok=True)
    for old in target.iterdir():
        if not old.name.startswith(".") and old.name != FILE_SYSTEMS_OWN:
            remove_entry(old)
    for entry in sorted(source.iterdir(), key=lambda entry: (entry.name == last, entry.name)):
        entry.rename(target / entry.name)
    source.rmdir()


def is_half_replaced(folder: Path) -> bool:
    """Tell whether a killed process left `folder` in the middle of `atomic_folder`."""
    return any(path.name.endswith(_LEFTOVERS) and path.name.startswith(".") for path in folder.iterdir())


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed processes left in `folder` of temporary files and folders, all or those of `name`."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(f".{name[:40]}") and path.name.endswith(_LEFTOVERS):
            with _lock(path) as locked:
                if locked:
                    remove_entry(path)


def remove_entry(path: Path) -> None:
    """Remove a file, a link, or a folder with all in it; one that is not there is none to remove."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def only_writer(folder: Path) -> Generator[None, None, None]:
    """Hold a lock on `folder`, which ends with the process; raise `InputError` when another process has it."""
    if fcntl is None:
        yield
        return
    with reading_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"another process is changing {folder}; run again when it is done") from None
    finally:
        os.close(handle)


@contextmanager
def _lock(path: Path) -> Generator[bool, None, None]:
    """Yield whether this process has the lock of `path`, which ends with the process however that ends."""
    if fcntl is None:
        yield False
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:  # another process has it, or the file system knows no locks
        locked = False
    try:
        yield locked
    finally:
        os.close(handle)


def safe_join(folder: Path, name: str) -> Path:
    """Return `folder / name`; raise `InputError` when `name` could leave the folder.

    Names in our files are relative POSIX paths; absolute paths, `..`, back slashes and drive letters are refused. Links
    are followed: whose content a file has to be is for hashes to say.
    """
    parts = PurePosixPath(name).parts
    safe = bool(parts) and not name.startswith("/") and not any(part in ("..", ".") for part in parts)
    short = all(len(os.fsencode(part)) <= LONGEST_NAME for part in parts)
    if not safe or not short or not name.isprintable() or "\\" in name or ":" in name or "//" in name:
        raise InputError(
            f"{folder}: the name {name[:300]!r} could lead out of the folder, or is none that a file can have; "
            "use a plain relative path"
        )
    return folder.joinpath(*parts)
