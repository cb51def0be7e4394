"""The text of a file, plain or packed by gzip: a line at a time or whole, and never more than memory is meant for.

A line of more than 64 MiB, a file that is read whole of more than 256 MiB, and a packed file that unpacks to more than
16 MiB and 100 times its size are refused: text packs to a third or a tenth.
"""

import gzip
import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from ..errors import InputError
from ..files import reading_errors

MAX_LINE_BYTES = 1 << 26
MAX_WHOLE_BYTES = 1 << 28
MAX_RATIO = 100
ALLOWED_BYTES = 1 << 24


def is_packed(path: Path) -> bool:
    """Tell whether the file is packed by gzip, by its name."""
    return path.name.lower().endswith(".gz")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text without its line break); a byte-order mark is no part of the first."""
    number, unpacked = 0, 0
    with _opened(path) as stream:
        limit = _unpacked_limit(path)
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            unpacked += len(line)
            if len(line) > MAX_LINE_BYTES:
                raise InputError(f"{path}, line {number}: longer than {MAX_LINE_BYTES:,} bytes; break it up")
            if unpacked > limit:
                raise _bomb(path)
            yield number, _decoded(line.rstrip(b"\r\n"), path, number)


def read_whole(path: Path) -> str:
    """Return the whole text, line breaks as `\\n`, without a byte-order mark."""
    with _opened(path) as stream:
        limit = _unpacked_limit(path)
        data = stream.read(min(limit, MAX_WHOLE_BYTES) + 1)
    if len(data) > limit:
        raise _bomb(path)
    if len(data) > MAX_WHOLE_BYTES:
        raise InputError(f"{path} holds more than {MAX_WHOLE_BYTES:,} bytes; break it up, or make it a .jsonl file")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _no_utf8(path, line) from None


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _no_utf8(path, number) from None


def _no_utf8(path: Path, line: int) -> InputError:
    return InputError(f"{path}, line {line}: not valid UTF-8; convert the file to UTF-8")


def _bomb(path: Path) -> InputError:
    return InputError(f"{path} unpacks to more than {MAX_RATIO} times its size; unpack it and look what it holds")


def _unpacked_limit(path: Path) -> int:
    if not is_packed(path):
        return 1 << 62
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 4))
        unpacked = int.from_bytes(stream.read(), "little")  # of the last part, as the file itself says
    limit = ALLOWED_BYTES + MAX_RATIO * size
    if unpacked > limit:
        what = f"or one that unpacks to more than {MAX_RATIO} times its size"
        raise InputError(f"{path}: not a whole gzip file, {what}; fetch it again")
    return limit


@contextmanager
def _opened(path: Path) -> Generator[BufferedIOBase, None, None]:
    try:
        with reading_errors(path), gzip.open(path, "rb") if is_packed(path) else path.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); fetch it again") from None
