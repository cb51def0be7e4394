"""Two bundles with the same queries: retention is compared query by query, too."""

from pathlib import Path

import numpy as np
from pocketrank.benchmarks.records.metrics import Measurement
from pocketrank.benchmarks.render.compare import Side, compare


def side(figures: dict[str, np.ndarray], **per_query: np.ndarray) -> Side:
    retention = float(figures["symmetric"].mean() / figures["teacher"].mean())
    entry = Measurement(
        metric="ndcg10_retention_symmetric",
        value=retention,
        unit="1",
        method="",
        count=200,
        kind="counted",
        low=retention - 0.1,
        high=retention + 0.1,
        level=0.95,
    )
    known = {
        name: {str(index): float(value) for index, value in enumerate(values)} for name, values in per_query.items()
    }
    return Side(Path("side"), None, (), (entry,), known)


def test_a_small_difference_on_every_query_is_distinguished_only_by_pairs() -> None:
    rng = np.random.default_rng(1)
    teacher = rng.uniform(0.2, 1.0, 200)
    first = {"teacher": teacher, "symmetric": teacher * rng.uniform(0.7, 1.0, 200)}
    second = {"teacher": teacher, "symmetric": first["symmetric"] * 0.97}
    (alone,) = compare(side(first), side(second))
    assert alone.apart is False
    (paired,) = compare(side(first, **first), side(second, **second))
    assert paired.apart is True
    assert paired.low is not None and paired.high is not None and paired.low < -0.03 < paired.high
    assert paired.high - paired.low < 0.01
    (same,) = compare(side(first, **first), side(first, **first))
    assert same.value == 0 and same.apart is not True
