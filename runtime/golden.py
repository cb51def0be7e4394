"""`golden.json`: texts with their token ids, vectors and scores, to be replayed wherever the bundle arrives.

The same file can give other vectors on another processor or runtime version; golden vectors make that visible. They
are computed one text at a time, as queries are on a device.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .encoder import Encoder
from .errors import VerificationError
from .files import read_json
from .schema import from_mapping, to_mapping

DECIMALS = 7
MOST_BYTES = 16_000_000  # of the file


@dataclass(frozen=True)
class GoldenVariant:
    """The unit vectors [n][d] that one variant gives for the golden texts."""

    vectors: tuple[tuple[float, ...], ...]  # a row a text


@dataclass(frozen=True)
class Golden:
    """The whole of `golden.json`."""

    texts: tuple[str, ...]  # some real texts of the corpus, and edge cases
    ids: tuple[tuple[int, ...], ...]  # token ids of each text
    variants: dict[str, GoldenVariant]  # vectors by variant
    scores: tuple[tuple[float, ...], ...]  # dot products of the default variant's vectors, each with each
    tolerance: dict[str, float]  # variant -> largest |difference| of a coordinate; "scores" -> of a score

    def __post_init__(self) -> None:
        """Refuse a file whose parts do not fit one another, or that would let anything pass."""
        count = len(self.texts)
        shapes = [len(self.ids), len(self.scores), *(len(row) for row in self.scores)]
        shapes += [len(variant.vectors) for variant in self.variants.values()]
        if not count or any(length != count for length in shapes):
            raise ValueError("texts, ids, vectors and scores differ in number; build the bundle again")
        for name in (*self.variants, "scores"):
            tolerance = self.tolerance.get(name, math.nan)
            if not 0 < tolerance < 0.5:
                raise ValueError(f"tolerance of {name!r} is {tolerance}, not between 0 and 0.5; build the bundle again")


def make_golden(encoders: Mapping[str, Encoder], default: str, texts: Sequence[str], tolerance: float) -> Golden:
    """Run `texts` through every variant and keep what comes out.

    `encoders` are the opened variants by name, `default` the one whose pairwise scores are kept, `tolerance` the
    largest difference of a coordinate or score that another machine may show.
    """
    vectors = {name: np.round(encoder.encode(texts, 0).astype(float), DECIMALS) for name, encoder in encoders.items()}
    scores = np.round(vectors[default] @ vectors[default].T, DECIMALS)
    return Golden(
        texts=tuple(texts),
        ids=tuple(tuple(encoders[default].tokenize(text)) for text in texts),
        variants={name: GoldenVariant(tuple(map(tuple, rows.tolist()))) for name, rows in vectors.items()},
        scores=tuple(map(tuple, scores.tolist())),
        tolerance={name: tolerance for name in (*encoders, "scores")},
    )


def golden_mapping(golden: Golden) -> dict[str, object]:
    """Return what `files.write_json` writes as `golden.json`."""
    return to_mapping(golden)


def read_golden(path: Path) -> Golden:
    """Read `golden.json`; raise `InputError` when it is not one."""
    return from_mapping(Golden, read_json(path, MOST_BYTES), str(path))


def largest_difference(expected: Sequence[Sequence[float]], actual: np.ndarray, what: str) -> float:
    """Return the largest |expected - found|; raise `VerificationError` when the shapes differ."""
    try:
        wanted = np.asarray(expected, dtype=float)
    except ValueError:
        raise VerificationError(f"{what}: rows of different lengths; build the bundle again") from None
    if wanted.shape != actual.shape:
        raise VerificationError(f"{what}: shape {wanted.shape} expected, {actual.shape} found; build the bundle again")
    difference = float(np.abs(wanted - actual).max())
    return difference if math.isfinite(difference) else math.inf
