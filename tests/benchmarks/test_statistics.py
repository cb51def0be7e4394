"""Percentiles, intervals and verdicts on noise, against known answers and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketrank.benchmarks.statistics import intervals as statistics

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
