"""The history of releases: what is compared, which release is named, and where reports are read from."""

import dataclasses
import os
import random
import shlex
import subprocess
import sys
import textwrap

import pytest
from builders.reports import make_report, one
from builders.tiny_recipe import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from pocketrank.benchmarks.gate.history import metric_histories
from pocketrank.benchmarks.gate.judge import BASELINE
from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.records.releases import Release, read_releases, read_tags, version_key
from pocketrank.benchmarks.records.report import report_mapping, write_report
from pocketrank.benchmarks.render.history import describe, history_mapping, history_page, history_tables
from pocketrank.benchmarks.statistics.intervals import between_processes
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import json_bytes


def timed(metric, value, rng, unit="s", deviation=0.01, **more):
    processes = tuple(value * rng.lognormvariate(0, deviation) for _ in range(9))
    interval = between_processes(processes)
    middle = sorted(processes)[4]
    low, high = min(interval.low, middle), max(interval.high, middle)
    return one(metric, middle, unit, low=low, high=high, processes=processes, **more)


def latencies(*values, **more):
    rng = random.Random(1)
    return [
        Release(f"v{number}", make_report(timed("latency_p50", value, rng, **more)))
        for number, value in enumerate(values)
    ]


def only(releases):
    (history,) = metric_histories(releases)
    return history


def names(history):
    return [step.release for step in history.changes]


def test_the_release_that_changed_a_time_is_named():
    history = only(latencies(1.0, 1.0, 1.2, 1.2, 1.2))
    assert names(history) == ["v2"]
    assert history.changes[0].value == pytest.approx(0.2, abs=0.03)
    assert history.worse(history.changes[0])
    assert describe(history).startswith("v2 +")
    assert "(worse)" in describe(history)


def test_bytes_change_where_they_differ():
    sizes = (100, 100, 101, 0, 0)
    counted = [one("shipped_bytes", float(size), "B", kind="counted", low=size, high=size) for size in sizes]
    releases = [Release(f"v{number}", make_report(bundle=[row])) for number, row in enumerate(counted)]
    history = only(releases)
    assert names(history) == ["v2", "v3"]
    assert [history.worse(step) for step in history.changes] == [True, False]


def test_counted_ranges_and_quality_change_where_intervals_do_not_touch():
    def with_quality(value, count=100):
        row = one("ndcg10_symmetric", value, "1", low=value - 0.02, high=value + 0.02, count=count)
        low, high = 1000 * value - 1, 1000 * value + 1
        rows = [one("instructions_per_query", 1000 * value, "instructions", kind="counted", low=low, high=high)]
        return make_report(*rows, quality=[row])

    values = [with_quality(0.5), with_quality(0.501), with_quality(0.6), with_quality(0.7, count=50)]
    quality, instructions = metric_histories([Release(f"v{place}", value) for place, value in enumerate(values)])
    assert names(quality) == ["v2"]
    assert not quality.worse(quality.changes[0])
    assert quality.steps[-1].reason == "another number of queries"
    assert names(instructions) == ["v2", "v3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprint": "other"}, "another machine"),
        ({"kind": "emulated"}, "another kind of value"),
        ({"source": "other"}, "another source of energy"),
    ],
)
def test_what_was_obtained_differently_is_not_compared(change, reason):
    first, second = latencies(1.0, 2.0)
    (device,) = second.report.devices
    row = device.measurements[0]
    if "fingerprint" in change:
        device = make_report(row, **change).devices[0]
    else:
        device = dataclasses.replace(device, measurements=(dataclasses.replace(row, **change),))
    history = only([first, Release("v1", dataclasses.replace(second.report, devices=(device,)))])
    assert names(history) == []
    assert (history.steps[0].comparable, history.steps[0].reason) == (False, reason)
    assert f"not decided at v1: {reason}" in describe(history)
    page = history_page(["v0", "v1"], [history], []).decode()
    assert f"<title>{reason}</title>" in page
    assert "line s1" not in page


def test_an_interrupted_release_is_not_compared():
    first, second = latencies(1.0, 2.0)
    device = dataclasses.replace(second.report.devices[0], interrupted=True)
    history = only([first, Release("v1", dataclasses.replace(second.report, devices=(device,)))])
    assert (names(history), history.steps[0].reason) == ([], "measuring on host was interrupted")


def test_unstable_timings_are_not_named():
    history = only(latencies(1.0, 1.5, stability="contended"))
    assert names(history) == []
    assert "not measured stably (contended)" in describe(history)


def test_separate_runs_that_always_differ_name_no_release():
    history = only(latencies(1.0, 1.3, 1.0, 1.25, 1.05, 1.3))
    assert names(history) == []
    assert "separate runs here differ by up to" in describe(history)


def test_small_steps_that_add_up_are_said():
    history = only(latencies(*(1.012**step for step in range(9))))
    assert names(history) == []
    assert describe(history).startswith("no single release; +")


def test_a_release_measured_together_with_the_one_before_is_compared_on_any_machine():
    rng = random.Random(2)

    def hashed(name, digest):
        return report.ModelFacts(name, "subject", 1, digest, 1, "0", 256)

    old = dataclasses.replace(make_report(timed("latency_p50", 1.0, rng)), models=(hashed("m", "a"),))
    rows = [timed("latency_p50", value, rng, stability="noisy") for value in (3.3, 3.0)]
    rows[1] = dataclasses.replace(rows[1], model=BASELINE)
    runs = [report.Run(model, number, 0, "ok") for model in ("m", BASELINE) for number in range(9)]
    new = make_report(*rows, fingerprint="other", runs=runs)
    for digest, expected in (("a", ["v1"]), ("c", [])):
        both = dataclasses.replace(new, models=(hashed("m", "b"), hashed(BASELINE, digest)))
        history = only([Release("v0", old), Release("v1", both)])
        assert names(history) == expected
    assert history.steps[0].reason == "another machine"


def test_fewer_than_two_releases_and_nothing_in_common_are_refused():
    with pytest.raises(InputError, match="two releases or more, found v0"):
        metric_histories(latencies(1.0))
    other = Release("v1", make_report(device="other"))
    with pytest.raises(InputError, match="no figure in common"):
        metric_histories([*latencies(1.0), other])


def test_releases_sort_by_version():
    ordered = ["v1.0.dev1", "v1.0-alpha", "v1.0-rc1", "v1.0-rc2", "v1.0", "v1.0.1", "v1.9", "v1.10", "v2.0"]
    assert sorted(reversed(ordered), key=version_key) == ordered


@given(st.lists(st.text(alphabet="v1.0-rc²é", max_size=8)))
def test_any_names_sort(found):
    assert sorted(sorted(found, key=version_key), key=version_key) == sorted(found, key=version_key)


def test_folders_and_files_are_read(tmp_path):
    first, second, third = (release.report for release in latencies(1.0, 1.0, 1.0))
    write_report(tmp_path / "v1.10.json", first)
    write_report(tmp_path / "v1.9" / "report.json", second)
    write_report(tmp_path / "elsewhere" / "v1.2.json", third)
    (tmp_path / "v1.9" / "verdict.json").write_text("{}", encoding="utf-8")
    assert [release.name for release in read_releases([tmp_path])] == ["v1.9", "v1.10"]
    paths = [tmp_path / "v1.10.json", tmp_path / "v1.9", tmp_path / "elsewhere"]
    assert [release.name for release in read_releases(paths)] == ["v1.2", "v1.9", "v1.10"]
    assert [release.name for release in read_releases(paths, as_given=True)] == ["v1.10", "v1.9", "v1.2"]
    with pytest.raises(InputError, match=r"are both the report of v1\.9"):
        read_releases([tmp_path, tmp_path / "v1.9"])
    with pytest.raises(InputError, match="does not exist"):
        read_releases([tmp_path / "nothing"])
    (tmp_path / "v3.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"v3\.json is not a benchmark report"):
        read_releases([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no report"):
        read_releases([tmp_path / "empty"])


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    git("init", "--quiet")
    reports = {release.name: json_bytes(report_mapping(release.report)) for release in latencies(1.0, 1.0, 1.3)}
    contents = {"v1.9": reports["v0"], "v1.10": reports["v1"], "v2.0": reports["v2"], "v0.1": None, "v0.2": b"{"}
    for name, data in contents.items():
        (tmp_path / "readme").write_text(name, encoding="utf-8")
        (tmp_path / "report.json").unlink(missing_ok=True)
        if data is not None:
            (tmp_path / "report.json").write_bytes(data)
        git("add", "--all")
        git("commit", "--quiet", "--message", name)
        git("tag", name)
    git("branch", "v1.9-branch", "v0.1")
    return tmp_path


def test_tags_are_read_and_those_without_a_report_are_named(repository):
    releases, skipped = read_tags("v*", "report.json", repository)
    assert [release.name for release in releases] == ["v1.9", "v1.10", "v2.0"]
    reasons = {release.name: release.reason for release in skipped}
    assert reasons == {"v0.1": "it has no file report.json", "v0.2": "v0.2:report.json is not valid JSON"}
    assert names(only(releases)) == ["v2.0"]
    with pytest.raises(InputError, match="no tag matches"):
        read_tags("--help", "report.json", repository)  # a pattern, never an option
    releases, skipped = read_tags("v1.*", "--output=x", repository)
    assert (releases, len(skipped), (repository / "x").exists()) == ([], 2, False)
    for pattern, path in (("", "report.json"), ("v*", "a\0b"), ("v*", "a\nb")):
        with pytest.raises(InputError, match="is no name"):
            read_tags(pattern, path, repository)


def test_outside_a_repository_there_are_no_tags(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="run this inside a repository"):
        read_tags("v*", "report.json", tmp_path)


def test_the_page_keeps_text_as_text_and_loads_nothing():
    hostile = '<script>"&\x1b'
    releases = [Release(f"{hostile}{number}", release.report) for number, release in enumerate(latencies(1.0, 1.5))]
    found = [release.name for release in releases]
    page = history_page(found, metric_histories(releases), []).decode()
    assert "<script" not in page and "\x1b" not in page
    assert "url(" not in page
    assert "value middle" in page  # the change is written into the chart
    mapping = history_mapping(found, metric_histories(releases), [])
    json_bytes(mapping)
    assert mapping["metrics"][0]["changed_by"] == [found[1]]
    (table,) = history_tables(metric_histories(releases))
    assert table.rows[0][0] == "latency_p50"


@pytest.mark.parametrize(("verdict", "reports", "code"), [(0, "good", 0), (1, "good", 1), (0, "bad", 2), (1, "bad", 1)])
def test_the_action_keeps_the_report_under_a_plain_name(tmp_path, verdict, reports, code):
    text = (REPOSITORY / "action.yml").read_text(encoding="utf-8")
    start = text.index('        if [ -n "$HISTORY" ]')
    script = textwrap.dedent(text[start : text.index("    - name: Keep")])
    (old, new) = latencies(1.0, 2.0)
    write_report(tmp_path / "gate" / "report.json", new.report)
    folder = tmp_path / "-a history; touch x"
    write_report(folder / "v0.json", old.report)
    if reports == "bad":
        (folder / "v0.json").write_text("{", encoding="utf-8")
    function = f'pocketrank() {{ {shlex.quote(sys.executable)} -m pocketrank "$@"; }}\ncode={verdict}\n'
    variables = {**os.environ, "HISTORY": folder.name, "RELEASE": "../12/merge $(touch y)"}
    words = ["bash", "-e", "-o", "pipefail", "-c", function + script]
    done = subprocess.run(words, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert sorted(file.name for file in folder.iterdir()) == ["-.-12-merge---touch-y-.json", "v0.json"]
    assert (tmp_path / "gate" / "history.html").exists() == (reports == "good")
    assert not (tmp_path / "x").exists() and not (tmp_path / "y").exists()
