"""Training texts as token ids of the student's vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...runtime.documents.json_files import read_json_lines
from ...runtime.errors import InputError


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of all texts, one after the other."""

    ids: np.ndarray  # int32 [all tokens]
    starts: np.ndarray  # int64 [texts + 1]
    is_document: np.ndarray  # bool [texts]

    def __len__(self) -> int:
        return len(self.is_document)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [texts]."""
        return np.diff(self.starts)

    def followed_by(self, others: "TokenizedTexts") -> "TokenizedTexts":
        """Return these texts and behind them the others."""
        return TokenizedTexts(
            np.concatenate([self.ids, others.ids]),
            np.concatenate([self.starts, self.starts[-1] + others.starts[1:]]),
            np.concatenate([self.is_document, others.is_document]),
        )

    def padded(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ids, int64 [rows, longest], padded with 0, and lengths, int64 [rows]."""
        lengths = self.lengths[rows]
        ids = np.zeros((len(rows), int(lengths.max())), np.int64)
        for position, row in enumerate(rows):
            ids[position, : lengths[position]] = self.ids[self.starts[row] : self.starts[row + 1]]
        return ids, lengths


def tokenize(training: Path, tokenizer_file: Path, max_length: int) -> TokenizedTexts:
    """Tokenise the texts of a `training.jsonl`, truncated to `max_length` tokens with [SEP] kept."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    flat: list[np.ndarray] = []
    ends, documents = [0], []
    texts: list[str] = []

    def flush() -> None:
        for encoding in tokenizer.encode_batch_fast(texts):
            flat.append(np.array(encoding.ids, np.int32))
            ends.append(ends[-1] + len(encoding.ids))
        texts.clear()

    for _, value in read_json_lines(training):
        texts.append(value["text"])
        documents.append(value.get("role") == "document")
        if len(texts) == 1024:
            flush()
    flush()
    if not documents:
        raise InputError(f"{training} holds no training texts; check [queries] in the recipe")
    return TokenizedTexts(np.concatenate(flat), np.array(ends, np.int64), np.array(documents))
