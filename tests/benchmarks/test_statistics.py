"""Percentiles, intervals and verdicts on noise, against known answers and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketrank.benchmarks.statistics import intervals as statistics
from pocketrank.benchmarks.statistics.signed_rank import paired_change, signed_rank_bound
from scipy import stats

FLOATS = st.floats(0.1, 10.0, allow_nan=False)


@pytest.mark.parametrize(("q", "needed"), [(0.5, 5), (0.95, 59), (0.99, 299)])
def test_a_percentile_needs_enough_samples(q, needed):
    assert statistics.required_count(q) == needed
    assert 1 - q**needed >= 0.95 > 1 - q ** (needed - 1)


def test_student_distribution_matches_the_tables():
    # Critical values for 95 % two-sided, as printed in statistics textbooks.
    for degrees, value in [(1, 12.706), (2, 4.303), (4, 2.776), (6, 2.447), (9, 2.262), (30, 2.042), (120, 1.980)]:
        assert statistics.student_quantile(0.975, degrees) == pytest.approx(value, abs=5e-4)
    assert statistics.student_cdf(0.0, 7) == pytest.approx(0.5)
    assert statistics.student_cdf(-1.3, 5) == pytest.approx(1 - statistics.student_cdf(1.3, 5))


def test_median_interval_matches_the_sign_test():
    # For n = 10 the ranks 2 and 9 bracket the median with 97.9 %: 1 - 2 (1 + 10) / 2**10.
    interval = statistics.quantile_interval(np.arange(1.0, 11.0), 0.5)
    assert (interval.low, interval.high) == (2.0, 9.0)
    assert interval.level == 0.95
    small = statistics.quantile_interval(np.arange(1.0, 4.0), 0.5)
    assert (small.low, small.high) == (1.0, 3.0)
    assert small.level == pytest.approx(0.75)


@given(st.lists(FLOATS, min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantile_is_a_sample_inside_its_interval(values, q):
    ordered = np.sort(values)
    value = statistics.quantile(ordered, q)
    interval = statistics.quantile_interval(ordered, q)
    assert value in ordered
    assert np.mean(ordered <= value) >= q - 1e-12
    assert ordered[0] <= interval.low <= interval.high <= ordered[-1]
    assert interval.low <= value <= interval.high
    assert 0 <= interval.level <= 0.95


@pytest.mark.parametrize(("q", "count"), [(0.5, 40), (0.95, 150), (0.99, 600)])
def test_quantile_intervals_cover_as_often_as_they_say(q, count):
    rng = np.random.default_rng(5)
    truth = math.exp(_normal_quantile(q))
    hits = 0
    for _ in range(1500):
        interval = statistics.quantile_interval(np.sort(rng.lognormal(size=count)), q)
        hits += interval.low <= truth <= interval.high
    assert hits / 1500 >= 0.935


def _normal_quantile(q):
    return {0.5: 0.0, 0.95: 1.6448536, 0.99: 2.3263479}[q]


def test_intervals_between_processes_cover_as_often_as_they_say():
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(2000):
        interval = statistics.between_processes(np.exp(rng.normal(1.0, 0.2, size=5)))
        hits += interval.low <= math.e <= interval.high
    assert 0.935 <= hits / 2000 <= 0.965


@given(st.lists(FLOATS, min_size=2, max_size=20), st.floats(0.01, 100))
def test_intervals_scale_with_the_unit(values, factor):
    one = statistics.between_processes(values)
    other = statistics.between_processes([value * factor for value in values])
    assert other.low == pytest.approx(one.low * factor, rel=1e-6)
    assert other.high == pytest.approx(one.high * factor, rel=1e-6)


def test_one_process_has_no_interval():
    assert statistics.between_processes([3.0]) is None
    assert statistics.change([3.0], [3.0, 3.1]) is None


@given(st.lists(FLOATS, min_size=2, max_size=10), st.lists(FLOATS, min_size=2, max_size=10))
@settings(max_examples=50)
def test_a_change_is_undone_by_the_change_back(new, old):
    there, back = statistics.change(new, old), statistics.change(old, new)
    assert (1 + there.value) * (1 + back.value) == pytest.approx(1, rel=1e-6)
    assert there.low <= there.value <= there.high
    # The one of the two that is below zero from the one above: near -1 few digits are left of 1 + low.
    below, above = sorted((there.low, back.high))
    assert below == pytest.approx(1 / (1 + above) - 1, abs=1e-9)


def test_equal_processes_have_no_noise():
    change = statistics.change([2.0, 2.0], [2.0, 2.0])
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)


def test_runs_of_the_same_thing_rarely_look_different():
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(2000):
        a, b = np.exp(rng.normal(0, 0.05, size=7)), np.exp(rng.normal(0, 0.05, size=7))
        alarms += statistics.change(a, b).low > 0
    assert alarms / 2000 <= 0.035


def test_paired_ratios_ignore_what_both_share():
    rng = np.random.default_rng(8)
    weather = np.exp(rng.normal(0, 0.5, size=8))
    value, interval = statistics.paired_ratio(list(weather * 1.0), list(weather * 4.0))
    assert value == pytest.approx(0.25)
    assert interval.low == pytest.approx(0.25)
    assert interval.high == pytest.approx(0.25)


def test_stability_names_what_is_wrong():
    assert statistics.stability([1.0, 1.01, 0.99], [0.01, -0.01, 0.0], [1.0, 0.99, 0.98]) == "stable"
    assert "noisy" in statistics.stability([1.0, 1.5, 0.7], [0.0] * 3, [1.0] * 3)
    assert "34%" in statistics.stability([1.0, 1.0], [0.0, 0.0], [0.66, 0.99])
    assert "drifting: every process ends 25% slower" in statistics.stability([1.0, 1.0], [0.2, 0.3], [1.0, 1.0])
    # One process that drifts is noise, not the machine getting hot.
    assert statistics.stability([1.0, 1.0], [0.2, -0.1], [1.0, 1.0]) == "stable"


def test_drift_compares_first_and_last_third():
    assert statistics.drift(np.linspace(1.0, 2.0, 300)) == pytest.approx(11 / 7 - 1, rel=0.01)
    assert statistics.drift(np.ones(10)) == 0.0


# Against scipy, which is too large for the harness itself


@pytest.mark.parametrize("degrees", [1, 2, 3, 7, 12, 29, 200])
def test_student_distribution_is_that_of_scipy(degrees):
    for t in np.linspace(-6, 6, 25):
        assert statistics.student_cdf(float(t), degrees) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-12)
    for probability in (0.01, 0.3, 0.5, 0.975, 0.9995):
        expected = stats.t.ppf(probability, degrees)
        assert statistics.student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("count", "q"), [(10, 0.5), (59, 0.95), (299, 0.99), (1000, 0.5), (5000, 0.99)])
def test_ranks_of_a_quantile_interval_are_binomial(count, q):
    """The bounds are samples, here their own ranks: each side leaves at most 2.5 % where the sample allows it."""
    interval = statistics.quantile_interval(np.arange(1.0, count + 1), q)
    below, covered = stats.binom.ppf([0.025, 0.975], count, q), stats.binom(count, q)
    assert interval.low in (max(below[0], 1), max(below[0] + 1, 1))
    assert interval.high in (below[1] + 1, count)
    reached = covered.cdf(interval.high - 1) - covered.cdf(interval.low - 1)
    assert interval.level == pytest.approx(min(0.95, reached), abs=1e-9)
    if interval.low > 1:
        assert covered.cdf(interval.low - 1) <= 0.025 < covered.cdf(interval.low)
    if interval.high < count:
        assert covered.sf(interval.high - 1) <= 0.025 < covered.sf(interval.high - 2)


@pytest.mark.parametrize(("count", "other"), [(2, 2), (3, 9), (7, 7), (15, 4)])
def test_a_change_is_welchs(count, other):
    """Ours rounds the degrees down, so its interval is never narrower, and equal where they are whole."""
    rng = np.random.default_rng(count)
    new, old = np.exp(rng.normal(0.1, 0.2, count)), np.exp(rng.normal(0, 0.1, other))
    found = statistics.change(list(new), list(old))
    test = stats.ttest_ind(np.log(new), np.log(old), equal_var=False)
    expected = test.confidence_interval(0.95)
    assert math.log1p(found.low) <= expected.low + 1e-9
    assert math.log1p(found.high) >= expected.high - 1e-9
    half = (math.log1p(found.high) - math.log1p(found.low)) / 2
    scale = (expected.high - expected.low) / 2 / stats.t.ppf(0.975, test.df)
    assert half == pytest.approx(scale * stats.t.ppf(0.975, max(math.floor(test.df + 1e-9), 1)), rel=1e-6)


@given(st.lists(FLOATS, min_size=2, max_size=20, unique=True))
@settings(max_examples=50)
def test_intervals_between_processes_are_students(values):
    interval = statistics.between_processes(values)
    logs = np.log(values)
    low, high = stats.t.interval(0.95, len(values) - 1, logs.mean(), stats.sem(logs))
    assert (interval.low, interval.high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))


@pytest.mark.parametrize("count", [6, 7, 10, 20, 40])
def test_signed_rank_bounds_are_where_wilcoxons_test_turns(count):
    """At the bound the one-sided test still passes 2.5 %, one below it does not."""
    bound = signed_rank_bound(count, 0.025)
    for total, rare in ((bound - 1, True), (bound, False)):
        positive, left = set(), total  # ranks that sum to the total
        for rank in range(count, 0, -1):
            if rank <= left:
                positive.add(rank)
                left -= rank
        signed = [rank if rank in positive else -rank for rank in range(1, count + 1)]
        test = stats.wilcoxon(signed, alternative="less", method="exact")
        assert (test.pvalue <= 0.025) == rare


def test_a_paired_change_is_significant_when_wilcoxons_test_is():
    rng = np.random.default_rng(9)
    for shift in np.linspace(-0.06, 0.06, 25):
        old = np.exp(rng.normal(0, 0.3, 12))
        new = old * np.exp(rng.normal(shift, 0.05, 12))
        found = paired_change(list(new), list(old))
        test = stats.wilcoxon(np.log(new) - np.log(old), method="exact")
        assert (found.low > 0 or found.high < 0) == (test.pvalue <= 0.05)
