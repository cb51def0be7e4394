"""Arrays of plain numbers in .npy files."""

import io
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
