"""The C library from Python, through ctypes: token ids and vectors without onnxruntime and tokenizers."""

import ctypes
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ..errors import UnavailableError, VerificationError
from ..files import read_bytes

LIBRARY_NAME = "libpocketrank.so"
_ERROR_BYTES = 400
_SURROGATE = re.compile("[\ud800-\udfff]")


@cache
def library(path: str = "") -> ctypes.CDLL:
    """Open the library: the file `path`, that of POCKETRANK_NATIVE, or the one that `make native` put here.

    Raises `UnavailableError` where there is none.
    """
    name = path or os.environ.get("POCKETRANK_NATIVE", "") or str(Path(__file__).with_name(LIBRARY_NAME))
    if not Path(name).is_file():
        raise UnavailableError(f"{name} does not exist; build it with `make native`, which needs a C compiler")
    opened = ctypes.CDLL(name)
    text, size, number = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
    _declare(opened, "pr_tokenizer_open", ctypes.c_void_p, text, size, number, text)
    _declare(opened, "pr_tokenizer_close", None, ctypes.c_void_p)
    _declare(opened, "pr_tokenize", number, ctypes.c_void_p, text, size, ctypes.POINTER(ctypes.c_int32))
    return opened


class NativeTokenizer:
    """A tokenizer of a bundle, read by the C library; gives the ids that `TextTokenizer` gives."""

    def __init__(self, path: Path, max_length: int, library_path: str = "") -> None:
        """Open the file at `path`; raise `VerificationError` when it has parts that the library does not know."""
        self.path, self.max_length = path, max_length
        self._library, self._handle = library(library_path), None
        self._json = read_bytes(path)  # the library points into it
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        self._handle = self._library.pr_tokenizer_open(self._json, len(self._json), max_length, error)
        if not self._handle:
            raise VerificationError(f"{path}: {error.value.decode('utf-8', 'replace')}")
        self._ids = (ctypes.c_int32 * max_length)()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length`, [CLS] and [SEP] included."""
        return [self._ids_of(text) for text in texts]

    def _ids_of(self, text: str) -> list[int]:
        data = encoded(text)
        count = self._library.pr_tokenize(self._handle, data, len(data), self._ids)
        if count < 0:
            raise MemoryError("no memory to tokenize a text")
        return self._ids[:count]

    def __del__(self) -> None:
        """Free what the library holds."""
        if self._handle:
            self._library.pr_tokenizer_close(self._handle)
            self._handle = None


def encoded(text: str) -> bytes:
    """Return a text in UTF-8, lone surrogates as U+FFFD."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode("utf-8")


def _declare(opened: ctypes.CDLL, name: str, result: object, *arguments: object) -> None:
    function = getattr(opened, name)
    function.restype, function.argtypes = result, arguments
