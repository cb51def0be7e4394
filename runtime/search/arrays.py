"""Arrays of plain numbers in .npy files."""

import io
import struct
import tokenize
import warnings
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import write_bytes

# What numpy raises for a damaged header: it is a Python literal, and lengths in it may be of any size.
_DAMAGED = (
    *(ValueError, EOFError, OSError, SyntaxError, TypeError, KeyError, OverflowError, MemoryError, RecursionError),
    *(tokenize.TokenError, Warning),
)
_HEADER_BYTES = 128


def open_array(path: Path) -> np.ndarray:
    """Map a .npy file of plain numbers from disk; raise `InputError` when it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy would mend a header, and say so on the error stream
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except _DAMAGED as error:
        raise InputError(f"{path} is not a .npy file of numbers: {error}; write it with numpy.save") from None


def write_array(path: Path, values: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


class AppendedArray:
    """A .npy file that grows by rows, for when their number is known at the end only; nothing is held."""

    def __init__(self, path: Path, kind: np.dtype, row_shape: tuple[int, ...]) -> None:
        """Begin the file; each row is an array of `kind` in `row_shape`, a number where that is empty."""
        self._stream = path.open("wb")
        self._kind, self._row_shape, self._rows = kind, row_shape, 0
        self._stream.write(self._header())

    def append(self, rows: np.ndarray) -> None:
        """Add `rows` [m, *row_shape]."""
        if rows.dtype != self._kind or rows.shape[1:] != self._row_shape:
            raise ValueError(f"rows are {rows.dtype} {rows.shape}, not {self._kind} {self._row_shape}")
        self._stream.write(np.ascontiguousarray(rows).tobytes())
        self._rows += len(rows)

    def close(self) -> None:
        """Write how many rows there are, and end the file."""
        self._stream.seek(0)
        self._stream.write(self._header())
        self._stream.close()

    def _header(self) -> bytes:
        """Return the header of 128 bytes, which numpy writes for any array of these kinds."""
        shape = (self._rows, *self._row_shape)
        content = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        entries = "".join(f"{key!r}: {value!r}, " for key, value in sorted(content.items()))
        text = f"{{{entries}}}".ljust(_HEADER_BYTES - 11).encode("latin1") + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
