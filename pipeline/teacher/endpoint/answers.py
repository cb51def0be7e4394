"""Answers of a server, kept from the moment they arrive: what was paid for is never asked for again.

A request's answer is one file, whole or absent, named by its hash, so that a damaged one is asked for again. The folder
outlives the stage: a run with another `teacher.dimension` asks for nothing.
"""

import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ....runtime.files import sha256_bytes, write_bytes
from .client import Answer

_KEY_BYTES = 16


class AnswerStore:
    """The vectors of texts that a server has answered, in a folder or, without one, in memory."""

    def __init__(self, folder: Path | None) -> None:
        """Read which texts are there."""
        self._folder = folder
        self._places: dict[bytes, tuple[str, int]] = {}
        self._memory: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._read = lru_cache(maxsize=16)(self._load)
        for path in sorted(folder.glob("*.answer")) if folder and folder.is_dir() else ():
            data = path.read_bytes()
            if sha256_bytes(data)[:40] == path.stem:
                keys = _header(data)["keys"]
                self._places |= {bytes.fromhex(key): (path.stem, row) for row, key in enumerate(keys)}
            else:
                path.unlink()

    @staticmethod
    def key(text: str) -> bytes:
        """Return what a text is found by."""
        return bytes.fromhex(sha256_bytes(text.encode("utf-8", "surrogatepass")))[:_KEY_BYTES]

    def __contains__(self, key: bytes) -> bool:
        """Return whether there is a vector."""
        return key in self._places

    def add(self, keys: Sequence[bytes], answer: Answer) -> None:
        """Keep an answer; any thread may do so."""
        header = {"keys": [key.hex() for key in keys], "dimension": answer.vectors.shape[1], "tokens": answer.tokens}
        data = json.dumps(header).encode() + b"\n" + np.ascontiguousarray(answer.vectors, "<f4").tobytes()
        name = sha256_bytes(data)[:40]
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self._folder / f"{name}.answer", data)
        else:
            self._memory[name] = answer.vectors
        with self._lock:
            self._places |= {key: (name, row) for row, key in enumerate(keys)}

    def vector(self, key: bytes) -> np.ndarray:
        """Return one vector, float32 [dimension]."""
        name, row = self._places[key]
        return self._read(name)[row]

    def _load(self, name: str) -> np.ndarray:
        if not self._folder:
            return self._memory[name]
        data = (self._folder / f"{name}.answer").read_bytes()
        return np.frombuffer(data[data.index(b"\n") + 1 :], "<f4").reshape(-1, _header(data)["dimension"])


def _header(data: bytes) -> dict:
    return json.loads(data[: data.index(b"\n")])
