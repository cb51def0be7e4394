"""Paired comparisons: two models whose runs were interleaved, repetition by repetition, on a machine of varying load.

The change is the Hodges-Lehmann estimate over the logarithms of the ratios, its interval the one that belongs to
Wilcoxon's signed ranks (Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd edition, sections 3.2
and 3.3). One repetition that something else disturbed moves it hardly at all, where it would move a mean.
"""

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from .intervals import LEVEL, Change, student_quantile

# With fewer pairs no set of signed ranks is rare enough for 95 %; the exact table above it is a few hundred sums.
MIN_PAIRS = 6
MAX_EXACT = 60


def paired_change(new: Sequence[float], old: Sequence[float], level: float = LEVEL) -> Change | None:
    """Return the relative change from `old` to `new`, pair by pair; all values must be positive.

    Below `MIN_PAIRS` pairs it has Student's interval on the logarithms; None for fewer than two pairs.
    """
    differences = np.log(np.asarray(new, dtype=float)) - np.log(np.asarray(old, dtype=float))
    count = len(differences)
    if count < 2:
        return None
    if count < MIN_PAIRS:
        center = float(differences.mean())
        half = student_quantile((1 + level) / 2, count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
        return Change(math.expm1(center), math.expm1(center - half), math.expm1(center + half), level)
    averages = np.sort(((differences[:, None] + differences[None, :]) / 2)[np.triu_indices(count)])
    rank = signed_rank_bound(count, (1 - level) / 2)
    center = float(np.median(averages))
    return Change(math.expm1(center), math.expm1(averages[rank - 1]), math.expm1(averages[-rank]), level)


@functools.cache
def signed_rank_bound(count: int, tail: float) -> int:
    """Return the largest k with P(sum of the positive ranks < k) <= `tail` when signs are tossed like coins.

    Exact up to `MAX_EXACT` pairs, the normal approximation above. The k-th smallest and the k-th largest of the
    averages of two (Walsh averages) are then the ends of the interval. At least 1.
    """
    if count > MAX_EXACT:
        mean, deviation = count * (count + 1) / 4, math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        return max(math.floor(mean + NormalDist().inv_cdf(tail) * deviation), 1)
    signs = [1]  # choices of signs by the sum of the positive ranks
    for rank in range(1, count + 1):
        longer = signs + [0] * rank
        for total, number in enumerate(signs):
            longer[total + rank] += number
        signs = longer
    below, k, most = 0, 0, tail * 2**count
    while below + signs[k] <= most:
        below += signs[k]
        k += 1
    return max(k, 1)
