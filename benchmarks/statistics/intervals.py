"""Statistics that a verdict can rest on: supported percentiles, intervals without a distribution, noise, stability.

Order statistics follow David and Nagaraja, *Order Statistics*, 3rd edition, section 7.1: the number of samples below
the true quantile q is binomial, so a pair of ranks brackets it with a known confidence whatever the distribution.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95

# Above these a timing is not called stable. They describe a quiet single-purpose board, where processes agree within
# a few percent; they do not enter any interval.
MAX_SPREAD = 0.10
MAX_DRIFT = 0.10
MIN_CPU_SHARE = 0.95


@dataclass(frozen=True)
class Interval:
    """A range that holds the true value with probability `level`."""

    low: float
    high: float
    level: float

    def union(self, other: "Interval") -> "Interval":
        """Return the range that covers both; its level is the lower one."""
        return Interval(min(self.low, other.low), max(self.high, other.high), min(self.level, other.level))

    def including(self, value: float) -> "Interval":
        """Return the range widened to hold `value`: a median may lie outside an interval for the geometric mean."""
        return Interval(min(self.low, value), max(self.high, value), self.level)


def required_count(q: float, level: float = LEVEL) -> int:
    """Return how many samples bound the quantile `q` from above with confidence `level`.

    With fewer, the largest sample itself is too likely to lie below the quantile: 1 - q**n < level. For 95 %:
    59 samples for p95, 299 for p99.
    """
    return math.ceil(math.log(1 - level) / math.log(q) - 1e-9)


def quantile(ordered: np.ndarray, q: float) -> float:
    """Return the quantile as the smallest sample that at least the share `q` of the samples does not exceed."""
    return float(ordered[max(math.ceil(q * len(ordered) - 1e-9), 1) - 1])


def quantile_interval(ordered: np.ndarray, q: float, level: float = LEVEL) -> Interval:
    """Return an interval for the quantile `q` from sorted independent samples, free of any distribution.

    Each side is the outermost order statistic that leaves at most half of 1 - level outside; where the sample is too
    small for that, it is the smallest or largest sample, and the level that is really reached is returned.
    """
    count = len(ordered)
    below = _binomial_cdf(count, q)  # below[k] = P(at most k samples lie under the quantile)
    tail = (1 - level) / 2
    low = int(np.searchsorted(below, tail, side="right"))  # ranks are 1-based: P(X <= low - 1) <= tail
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1  # P(X <= high - 1) >= 1 - tail
    low, high = max(low, 1), min(high, count)
    reached = float(below[high - 1] - below[low - 1])
    return Interval(float(ordered[low - 1]), float(ordered[high - 1]), min(level, reached))


def _binomial_cdf(count: int, q: float) -> np.ndarray:
    k = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    logs = factorials[count] - factorials[k] - factorials[count - k] + k * math.log(q) + (count - k) * math.log1p(-q)
    return np.minimum(np.cumsum(np.exp(logs)), 1.0)


def student_cdf(t: float, degrees: int) -> float:
    """Return P(T <= t) for Student's distribution with a whole number of degrees (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 2:
        term, total = cosine, cosine if degrees > 1 else 0.0
        for k in range(3, degrees, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 1.0
        for k in range(2, degrees, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        inside = sine * total
    return 0.5 + inside / 2


@functools.cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return t with P(T <= t) = probability, by bisection."""
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def between_processes(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Return a Student interval for the typical value of independent processes; None with fewer than two.

    Positive values are compared on a logarithmic scale, because noise on times is multiplicative.
    """
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return Interval(values[0], values[0], level)
    positive = min(values) > 0
    data = np.log(values) if positive else np.asarray(values, dtype=float)
    half = student_quantile((1 + level) / 2, len(data) - 1) * float(data.std(ddof=1)) / math.sqrt(len(data))
    center = float(data.mean())
    low, high = center - half, center + half
    return Interval(math.exp(low), math.exp(high), level) if positive else Interval(low, high, level)


@dataclass(frozen=True)
class Change:
    """A relative change between two groups of processes: 0.1 is ten percent more."""

    value: float
    low: float
    high: float
    level: float


def paired_ratio(
    values: Sequence[float], references: Sequence[float], level: float = LEVEL
) -> tuple[float, Interval | None]:
    """Return the geometric mean of value / reference over interleaved pairs, and its interval."""
    ratios = [value / reference for value, reference in zip(values, references, strict=True)]
    return float(np.exp(np.mean(np.log(ratios)))), between_processes(ratios, level)


def change(new: Sequence[float], old: Sequence[float], level: float = LEVEL) -> Change | None:
    """Return the relative change from `old` to `new` processes (Welch's interval on logarithms).

    None when a group has fewer than two processes.
    """
    if len(new) < 2 or len(old) < 2:
        return None
    half = _welch_half_width(new, old, level)
    center = float(np.log(new).mean() - np.log(old).mean())
    return Change(math.expm1(center), math.expm1(center - half), math.expm1(center + half), level)


def _welch_half_width(new: Sequence[float], old: Sequence[float], level: float) -> float:
    """Return half of Welch's interval for the difference of two means of logarithms."""
    a, b = (float(np.var(np.log(values), ddof=1)) / len(values) for values in (new, old))
    if a + b == 0:
        return 0.0
    degrees = (a + b) ** 2 / (a * a / (len(new) - 1) + b * b / (len(old) - 1))
    return student_quantile((1 + level) / 2, max(int(degrees), 1)) * math.sqrt(a + b)


def relative_spread(values: Sequence[float]) -> float:
    """Return the standard deviation of positive values relative to their size; 0 for fewer than two."""
    return float(np.log(values).std(ddof=1)) if len(values) > 1 else 0.0


def drift(samples: np.ndarray) -> float:
    """Return the relative change of the median from the first to the last third of one process, in time order."""
    third = len(samples) // 3
    if third < 5:
        return 0.0
    first, last = np.median(samples[:third]), np.median(samples[-third:])
    return float(last / first - 1)


def stability(medians: Sequence[float], drifts: Sequence[float], cpu_shares: Sequence[float]) -> str:
    """Return "stable", or why these processes are not: in plain words, the strongest reason first.

    `medians` are the processes' median latencies, `drifts` their `drift`, `cpu_shares` CPU over wall time of
    single-threaded timed regions.
    """
    reasons = []
    if cpu_shares and min(cpu_shares) < MIN_CPU_SHARE:
        reasons.append(f"contended: the processor was elsewhere for up to {1 - min(cpu_shares):.0%} of the time")
    spread = relative_spread(medians)
    if spread > MAX_SPREAD:
        reasons.append(f"noisy: processes differ by {spread:.0%} (standard deviation)")
    if len(drifts) > 1 and (min(drifts) > MAX_DRIFT or max(drifts) < -MAX_DRIFT):
        typical = float(np.median(drifts))
        reasons.append(f"drifting: every process ends {abs(typical):.0%} {'slower' if typical > 0 else 'faster'}")
    return "; ".join(reasons) or "stable"
