"""How far apart two ways of computing the same vectors are, on real texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.errors import VerificationError

FP32_TOLERANCE = 1e-5  # of a coordinate: the fp32 graph against the trained model


@dataclass(frozen=True)
class Parity:
    """Unit vectors of `name` held against those of `reference` on the same texts."""

    name: str
    reference: str
    texts: int
    cosine_min: float
    cosine_mean: float
    max_difference: float  # largest |difference| of a coordinate
    score_change_max: float  # largest |change| of the score of a pair of texts
    score_change_mean: float


def compare(name: str, vectors: np.ndarray, reference: str, expected: np.ndarray, pairs: int = 512) -> Parity:
    """Compare unit vectors [n, d]; the scores of all pairs among the first `pairs` texts are compared too."""
    if vectors.shape != expected.shape or not len(vectors):
        raise VerificationError(
            f"{name} gives vectors of shape {vectors.shape}, {reference} of {expected.shape}; export again"
        )
    left, right = vectors.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    upper = np.triu_indices(min(len(left), pairs), k=1)
    change = np.abs(left[:pairs] @ left[:pairs].T - right[:pairs] @ right[:pairs].T)[upper]
    return Parity(
        name=name,
        reference=reference,
        texts=len(left),
        cosine_min=_rounded(cosines.min()),
        cosine_mean=_rounded(cosines.mean()),
        max_difference=_rounded(np.abs(left - right).max()),
        score_change_max=_rounded(change.max() if len(change) else 0.0),
        score_change_mean=_rounded(change.mean() if len(change) else 0.0),
    )


def require_exact(parity: Parity) -> None:
    """Raise `VerificationError` when a graph that must equal its reference does not."""
    if not parity.max_difference <= FP32_TOLERANCE:
        raise VerificationError(
            f"{parity.name} differs from {parity.reference} by {parity.max_difference:.2g} in a coordinate, "
            f"{FP32_TOLERANCE:.0e} is allowed; the export is wrong, do not ship it"
        )


def spread_texts(texts: Sequence[str], count: int) -> list[str]:
    """Return `count` texts spread evenly over the whole sequence (all of them when there are fewer)."""
    if len(texts) <= count:
        return list(texts)
    return [texts[index * len(texts) // count] for index in range(count)]


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")
