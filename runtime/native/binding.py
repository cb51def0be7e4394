"""The C library from Python, through ctypes: a bundle's token ids and vectors without onnxruntime and tokenizers."""

import ctypes
import mmap
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ..encoder import Encoder
from ..errors import InputError, UnavailableError, VerificationError
from ..text.tokenizer_file import TextTokenizer

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
    handle, text, size, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
    ids = ctypes.POINTER(ctypes.c_int32)
    _declare(opened, "pr_tokenizer_open", handle, handle, size, number, text)
    _declare(opened, "pr_tokenizer_close", None, handle)
    _declare(opened, "pr_tokenize", number, handle, text, size, ids)
    _declare(opened, "pr_words", None, handle, ctypes.POINTER(number), ctypes.POINTER(number))
    _declare(opened, "pr_bundle_open_memory", handle, handle, size, handle, size, number, text, text, text)
    _declare(opened, "pr_bundle_close", None, handle)
    _declare(opened, "pr_dimension", number, handle)
    _declare(opened, "pr_encode_ids", number, handle, ids, number, handle, text)
    _declare(opened, "pr_processor", text)
    return opened


class NativeTokenizer(TextTokenizer):
    """A tokenizer of a bundle, read by the C library; gives the ids that `TextTokenizer` gives."""

    def __init__(self, path: Path, max_length: int, *, known_parts: bool = True) -> None:
        """Open the file at `path`; raise `VerificationError` when it has parts that the library does not know."""
        self.path, self.max_length = path, max_length
        self._library, self._handle = library(), None
        self._file = _MappedFile(path)  # the library points into it
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        self._handle = self._library.pr_tokenizer_open(self._file.address, self._file.size, max_length, error)
        if not self._handle:
            raise VerificationError(f"{path}: {error.value.decode('utf-8', 'replace')}")
        self._ids = (ctypes.c_int32 * max_length)()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length`, [CLS] and [SEP] included."""
        return [self._ids_of(text) for text in texts]

    def unknown_words(self, texts: Sequence[str]) -> tuple[int, int]:
        """Return how many words of the texts are unknown to the vocabulary, and how many there are."""
        words, unknown, counts = ctypes.c_int(), ctypes.c_int(), [0, 0]
        for text in texts:
            self._ids_of(text)
            self._library.pr_words(self._handle, ctypes.byref(words), ctypes.byref(unknown))
            counts[0] += unknown.value
            counts[1] += words.value
        return counts[0], counts[1]

    def _ids_of(self, text: str) -> list[int]:
        data = encoded(text)
        count = self._library.pr_tokenize(self._handle, data, len(data), self._ids)
        if count < 0:
            raise MemoryError("no memory to tokenize a text")
        return self._ids[:count]

    def __del__(self) -> None:
        """Free what the library holds."""
        if getattr(self, "_handle", None):
            self._library.pr_tokenizer_close(self._handle)


class NativeEncoder(Encoder):
    """An `Encoder` that needs neither onnxruntime nor tokenizers; open it in the same way.

    Files are hashed before they are opened, as `Encoder` does. It has one thread, whatever is asked for, and always
    encodes one text at a time.
    """

    tokenizer_kind = NativeTokenizer

    def _open_graph(self, threads: int) -> int:
        self._library, self._handle = library(), None
        if not self.model_path.is_file():
            raise InputError(f"{self.model_path} does not exist; name a bundle that has it, or another variant")
        self._file, self._error = _MappedFile(self.model_path), ctypes.create_string_buffer(_ERROR_BYTES)
        self._handle = self._library.pr_bundle_open_memory(
            self._file.address, self._file.size, None, 0, self.max_length, None, None, self._error
        )
        if not self._handle:
            raise VerificationError(f"{self.model_path}: {self._message()}")
        return self._library.pr_dimension(self._handle)

    def _run(self, ids: list[list[int]]) -> np.ndarray:
        vectors = np.empty((len(ids), self.dimension), dtype=np.float32)
        for row, tokens in enumerate(ids):
            given = (ctypes.c_int32 * len(tokens))(*tokens)
            place = vectors[row].ctypes.data
            if self._library.pr_encode_ids(self._handle, given, len(tokens), place, self._error) != 0:
                raise VerificationError(f"{self.model_path}: {self._message()}")
        return vectors

    def _message(self) -> str:
        return self._error.value.decode("utf-8", "replace")

    def __del__(self) -> None:
        """Free what the library holds."""
        if getattr(self, "_handle", None):
            self._library.pr_bundle_close(self._handle)


class _MappedFile:
    """A file in memory, read from disk where it is looked at; empty files have no address."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.address = None
        if self.size:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            self._view = ctypes.c_char.from_buffer(self._map)
            self.address = ctypes.addressof(self._view)


def encoded(text: str) -> bytes:
    """Return a text in UTF-8, lone surrogates as U+FFFD."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode("utf-8")


def _declare(opened: ctypes.CDLL, name: str, result: object, *arguments: object) -> None:
    function = getattr(opened, name)
    function.restype, function.argtypes = result, arguments
