"""Vectors of passages: what a text says, and what the headings above it say that it is about.

The mean over the tokens of a passage hardly hears its headings. So where a document has headings, those of a passage
are encoded by themselves as well, once for all passages that share them, and the passage's vector is the unit vector
along the weighted mean of both. Of ten questions about this project's documentation, general-english answers four with
a passage below the right heading without that, nine with a weight of 0.1 or 0.2, and all from 0.3 to 0.6.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..encoder import Encoder


class PassageText(NamedTuple):
    """What is encoded of a passage, without prompts."""

    text: str  # with its headings in front
    headings: str = ""  # to be encoded by themselves too; empty where there are none


def encode_passages(encoder: Encoder, passages: Iterable[PassageText], heading_weight: float) -> Iterator[np.ndarray]:
    """Yield the unit vectors of `passages` in order, float32 blocks [m, d]; headings count `heading_weight` of 1."""
    prompt = encoder.prompts.document
    with_headings: deque[bool | None] = deque()  # of each text that is being encoded; None: it is headings

    def texts() -> Iterator[str]:
        last = ""
        for passage in passages:
            if passage.headings and passage.headings != last:
                last = passage.headings
                with_headings.append(None)
                yield prompt + last
            with_headings.append(bool(passage.headings))
            yield prompt + passage.text

    headings = np.zeros(encoder.dimension, dtype=np.float32)
    for block in encoder.encode_stream(texts()):
        kept: list[np.ndarray] = []
        for vector in block:
            kind = with_headings.popleft()
            if kind is None:
                headings = vector
            else:
                kept.append((1 - heading_weight) * vector + heading_weight * headings if kind else vector)
        if kept:
            mixed = np.stack(kept)
            yield (mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)).astype(np.float32)
