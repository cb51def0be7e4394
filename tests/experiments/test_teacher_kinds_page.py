"""The page of the kinds of teacher shows all of them as its report does; one goes through all stages here."""

import pytest
from builders.tiny_recipe import REPOSITORY
from pocketrank.runtime.files import read_json

pytest.importorskip("sentence_transformers")
from experiments.teachers.kinds.__main__ import PAGE, REPORT
from experiments.teachers.kinds.accepted import ACCEPTED
from experiments.teachers.kinds.page import page
from experiments.teachers.kinds.refused import REFUSED
from experiments.teachers.kinds.through import refusal, run_kind


def test_the_page_shows_every_kind():
    report = read_json(REPOSITORY / REPORT)
    assert [outcome["kind"] for outcome in report["teachers"]] == [kind.name for kind in ACCEPTED]
    assert min(outcome["cosine"] for outcome in report["teachers"]) >= 0.9999
    assert [refused["kind"] for refused in report["refused"]] == [kind.name for kind in REFUSED]
    assert (REPOSITORY / PAGE).read_text("utf-8") == page(report)


def test_every_refusal_is_that_of_the_page(tmp_path):
    for number, refused in enumerate(read_json(REPOSITORY / REPORT)["refused"]):
        (tmp_path / str(number)).mkdir()
        assert refusal(REFUSED[number], tmp_path / str(number)) == refused["message"]


def test_a_static_teacher_goes_through_all_stages(tmp_path):
    (kind,) = [kind for kind in ACCEPTED if kind.architecture == "model2vec"]
    outcome = run_kind(kind, tmp_path)
    assert outcome.cosine >= 0.9999 and outcome.compared == "teacher by torch.onnx"
