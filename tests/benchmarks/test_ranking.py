"""What a release changes in the answers: counted, limited, and shown query by query."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from builders.miniature import TEACHER, WORDS, write_bundle, write_manifest
from builders.reports import make_report
from builders.small_models import write_lines
from builders.tiny_run import write_home
from pocketrank.benchmarks.gate import budget as budgets
from pocketrank.benchmarks.gate import judge as gate
from pocketrank.benchmarks.gate import junit
from pocketrank.benchmarks.gate.ranking import NOT_COMPARED, RankedTexts, RankingChange, compare_answers
from pocketrank.benchmarks.render import github, page, tables
from pocketrank.pipeline import benchmark_stage
from pocketrank.pipeline.fingerprint import gate_fingerprint
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.stage import StageContext
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.manifest import TeacherEntry
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.projection import bundle_projection

LIMITS = "[ranking]\noverlap10_min = 0.9\nchanged_top1_max = 0.1\n"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("releases")
    return write_bundle(folder / "old"), write_bundle(folder / "new", seed=1)


@pytest.fixture(scope="module")
def texts() -> RankedTexts:
    random = np.random.default_rng(0)
    documents = [" ".join(random.choice(WORDS, size=random.integers(2, 9))) for _ in range(60)]
    return RankedTexts(["merge two sorted lists", "close the file", "random number"], documents, ["", "T"] * 30)


@pytest.fixture(scope="module")
def change(releases: tuple[Path, Path], texts: RankedTexts) -> RankingChange:
    return compare_answers(*releases, texts)


def judged(text: str, tmp_path: Path, rankings=None) -> gate.Verdict:
    (tmp_path / "budget.toml").write_text(text, encoding="utf-8")
    return gate.judge(make_report(), budgets.read_budget(tmp_path / "budget.toml"), rankings=rankings)


def test_answers_are_counted(releases, texts, change):
    best = []
    for bundle in releases:
        encoder = Encoder.open(bundle)
        scores = encoder.encode_queries(texts.queries) @ encoder.encode_documents(texts.documents).T
        best.append(np.argsort(-scores, axis=1, kind="stable")[:, :10])
    overlaps = [len(set(old) & set(new)) / 10 for old, new in zip(*(rows.tolist() for rows in best), strict=True)]
    assert change.overlap10 == pytest.approx(np.mean(overlaps)) and 0 < change.overlap10 < 1
    assert change.changed_top1 == pytest.approx((best[0][:, 0] != best[1][:, 0]).mean())
    assert [entry.overlap10 for entry in change.most_changed] == sorted(overlaps)
    worst = change.most_changed[0]
    rows = best[1][texts.queries.index(worst.query)][:3]
    assert worst.now == tuple(texts.names[row] or texts.documents[row] for row in rows)
    assert (change.queries, change.documents, change.same_space) == (3, 60, False)


def test_the_same_release_changes_nothing(releases, texts):
    change = compare_answers(releases[0], releases[0], texts)
    assert (change.overlap10, change.changed_top1, change.most_changed, change.same_space) == (1, 0, (), True)


def test_the_teachers_documents_are_ranked_through_each_projection(releases, texts):
    vectors = np.random.default_rng(2).normal(size=(60, TEACHER)).astype(np.float32)
    change = compare_answers(*releases, texts, vectors)
    assert change.documents_by == "teacher" and "the teacher's vectors" in change.method
    best = []
    for bundle in releases:
        scores = Encoder.open(bundle).encode_queries(texts.queries) @ bundle_projection(bundle).apply(vectors).T
        best.append(scores.argmax(1))
    assert change.changed_top1 == pytest.approx((best[0] != best[1]).mean())
    with pytest.raises(InputError, match="do not fit a projection"):
        compare_answers(*releases, texts, vectors[:, 1:])


def test_limits_on_changes(change, tmp_path):
    verdict = judged(LIMITS, tmp_path, {"bundle": change})
    overlap, top1 = verdict.checks
    assert (overlap.outcome, overlap.value, verdict.exit_code) == ("fail", change.overlap10, 1)
    assert "at least 0.9 allowed" in overlap.reason and "two vector spaces" in overlap.method
    assert top1.value == change.changed_top1 and top1.changed == change.most_changed
    assert judged("[ranking]\noverlap10_min = 0.01\n", tmp_path, {"bundle": change}).exit_code == 0
    gate.write_verdict(tmp_path / "verdict.json", verdict)
    assert gate.read_verdict(tmp_path / "verdict.json") == verdict


@pytest.mark.parametrize("rankings", [None, {"bundle": NOT_COMPARED}, {"teacher": NOT_COMPARED}])
def test_what_was_not_compared_is_inconclusive(rankings, tmp_path):
    verdict = judged(LIMITS, tmp_path, rankings)
    assert verdict.exit_code == 4
    assert {(check.outcome, check.reason) for check in verdict.checks} == {("inconclusive", NOT_COMPARED)}
    assert "--baseline-bundle" in verdict.checks[0].advice


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overlap_min = 0.9", "did you mean 'overlap10_min'"),
        ("shipped_bytes = 1", "unknown metric 'shipped_bytes'"),
        ("overlap10_min = 1.1", "at most 1"),
        ('overlap10_min = { limit = 0.9, documents = "student" }', "documents = 'student' is not one of"),
    ],
)
def test_other_limits_are_refused(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        judged(f"[ranking]\n{text}\n", tmp_path)


def test_what_changed_most_is_shown_everywhere(change, tmp_path):
    nasty = dataclasses.replace(change.most_changed[0], query="<b>::error::x</b>", now=("a\nb",))
    change = dataclasses.replace(change, most_changed=(nasty, *change.most_changed[1:]))
    verdict = judged(LIMITS, tmp_path, {"bundle": change})
    (table,) = tables.changed_tables(verdict)
    assert len(table.rows) == len(change.most_changed)
    html = page.html_page(make_report(), verdict).decode()
    assert html.count("What users will notice") == 1 and "&lt;b&gt;::error" in html and "<b>" not in html
    assert f"{change.most_changed[0].overlap10 * 100:.0f} %" in html
    failure = ElementTree.fromstring(junit.junit_bytes(verdict)).find(".//failure")
    assert failure is not None and failure.text is not None and "of ten kept; before: " in failure.text
    lines = github.annotations(verdict)
    assert all("Changed most: <b>::error" in line and "\n" not in line for line in lines)
    assert "what users will notice" in github.summary(verdict)
    assert "what users will notice" not in github.summary(judged(LIMITS, tmp_path))


def test_the_command_line_compares_both_bundles(pocketrank, releases, texts, tmp_path):
    (tmp_path / "ranking.toml").write_text(LIMITS, encoding="utf-8")
    data = tmp_path / "data"
    write_lines(data / "corpus.jsonl", [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts.documents)])
    write_lines(data / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in enumerate(texts.queries)])
    (data / "qrels").mkdir()
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq2\td1\t1\n", encoding="utf-8")
    old, new = releases
    words = ("gate", new, "--budget", tmp_path / "ranking.toml", "--report", write_report_of(new, tmp_path), "--json")
    both = pocketrank(*words, "--baseline-bundle", old, "--data", data)
    assert both.returncode == 1, both.stderr
    checks = json.loads(both.stdout)["checks"]
    assert [check["method"][:9] for check in checks] == ["2 queries"] * 2 and checks[0]["changed"]
    for missing, reason in (((), "no bundle of the last release"), (("--baseline-bundle", old), "no documents and")):
        done = pocketrank(*words, *missing)
        assert done.returncode == 4 and reason in json.loads(done.stdout)["checks"][0]["reason"]


def write_report_of(bundle: Path, folder: Path) -> Path:
    from pocketrank.benchmarks.gate.release import baseline_of_bundle
    from pocketrank.benchmarks.records.report import write_report

    found = baseline_of_bundle(bundle)
    write_report(folder / "report.json", dataclasses.replace(make_report(), subject=found.subject, models=found.models))
    return folder / "report.json"


def test_a_run_compares_with_the_last_release(releases, tmp_path):
    home = write_home(tmp_path / "home", "")
    (home / "budget.toml").write_text(
        '[ranking]\noverlap10_min = 0.5\nchanged_top1_max = { limit = 0.5, documents = "teacher" }\n', encoding="utf-8"
    )
    old, new = releases
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    np.save(teacher / "documents.npy", np.random.default_rng(0).normal(size=(60, TEACHER)).astype(np.float32))
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "bundle").symlink_to(new)

    def rankings(baseline: Path | str):
        recipe = read_recipe(home / "r.toml", [f"gate.baseline={baseline}"]).recipe
        inputs = {"corpus": home / "data", "teacher": teacher, "bundle": tmp_path / "bundles"}
        context = StageContext(recipe, {}, inputs, tmp_path / "out", tmp_path / "scratch", NoProgress())
        assert len(gate_fingerprint(recipe)) == 1 + bool(baseline)
        return benchmark_stage._rankings(context)

    found = rankings(old)
    assert [change.documents_by for change in found.values()] == ["bundle", "teacher"]
    assert {change.queries for change in found.values()} == {8}
    assert set(rankings("").values()) == {"gate.baseline names no bundle of the last release"}
    other = write_bundle(tmp_path / "other")
    write_manifest(other, teacher=TeacherEntry("other", "1" * 64, TEACHER))
    assert "has another teacher" in rankings(other)["teacher"]
