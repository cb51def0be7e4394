"""Percentile bootstrap intervals over queries (Efron 1979), paired where two systems answer the same queries.

Systems that are compared are resampled with the same queries, so that what makes a query hard for all of them does not
widen the interval (Sakai 2006).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over queries, or what is computed from several, with its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: np.ndarray, resamples: int = 1000, seed: int = 1, level: float = LEVEL) -> Interval:
    """Return the mean of `values` [queries] and its interval; for a paired difference give the differences."""
    samples = [mean for (mean,) in resampled_means([values], resamples, seed)]
    return _interval(float(np.mean(values)), samples, level)


def bootstrap_ratio(
    values: np.ndarray, reference: np.ndarray, resamples: int = 1000, seed: int = 1, level: float = LEVEL
) -> Interval:
    """Return the ratio of the means of `values` and `reference`, both [queries], and its paired interval.

    Resamples in which the reference scores nothing are left out.
    """
    pairs = resampled_means([values, reference], resamples, seed)
    return _interval(float(np.mean(values) / np.mean(reference)), [a / b for a, b in pairs if b > 0], level)


def resampled_means(rows: list[np.ndarray], resamples: int, seed: int) -> Iterator[list[float]]:
    """Yield the mean of each of `rows`, all [queries], over the same queries drawn with replacement, `resamples` times.

    Fewer than two queries have nothing to resample, and yield nothing.
    """
    count = len(rows[0])
    rng = np.random.default_rng(seed)
    for _ in range(resamples if count > 1 else 0):
        drawn = rng.integers(0, count, count)
        yield [row[drawn].mean() for row in rows]


def percentiles(samples: list[float], level: float = LEVEL) -> tuple[float, float]:
    """Return the ends of the middle `level` of `samples`."""
    low, high = np.quantile(samples, [(1 - level) / 2, 1 - (1 - level) / 2])
    return float(low), float(high)


def _interval(mean: float, samples: list[float], level: float) -> Interval:
    return Interval(mean, *percentiles(samples, level)) if samples else Interval(mean, mean, mean)
