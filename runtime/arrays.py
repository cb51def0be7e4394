"""Arrays of plain numbers, mapped from disk."""

from pathlib import Path

import numpy as np

from .errors import InputError


def open_array(path: Path) -> np.ndarray:
    """Map a .npy file of plain numbers from disk; raise `InputError` when it is none."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a .npy file of numbers: {error}; write it with numpy.save") from None
