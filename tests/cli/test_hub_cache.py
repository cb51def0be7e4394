"""A bundle, a teacher and a general student as a hub's cache keeps them: folders of links."""

import json
from pathlib import Path

import pytest
from builders.hub_cache import hub_cache
from builders.miniature import write_bundle
from builders.small_models import make_teacher
from pocketrank.cli.main import main
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.student.pretrained import read_general
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.runtime import packaged
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.projection import bundle_projection

BUDGET = '[bundle]\nshipped_bytes = "1 MB"\n'


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = hub_cache(write_bundle(tmp_path / "plain"), tmp_path / "hub" / "models--one--bundle")
    assert (made / "manifest.json").is_symlink() and (made / "onnx" / "model.onnx").is_symlink()
    return made


def test_every_command_reads_it(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("merge two sorted lists\nopen a network connection\n")
    (tmp_path / "budget.toml").write_text(BUDGET)
    index = tmp_path / "index"
    for words in (
        ["verify", bundle],
        ["inspect", bundle],
        ["index", bundle, tmp_path / "notes.txt", "--out", index],
        ["search", index, "a network", "--bundle", bundle],
        ["search", bundle, "a network", "--corpus", tmp_path / "notes.txt"],
        ["benchmark", bundle, "--repetitions", "5", "--min-seconds", "0.01", "--min-queries", "10", "--no-overhead"],
        ["gate", bundle, "--budget", tmp_path / "budget.toml", "--repetitions", "5", "--no-github"],
    ):
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        assert code == 0, (words, shown.err, shown.out)


def test_the_library_reads_it(bundle: Path, tmp_path: Path) -> None:
    plain, linked = Encoder.open(tmp_path / "plain"), Encoder.open(bundle)
    assert (plain.encode_query("merge lists") == linked.encode_query("merge lists")).all()
    assert bundle_projection(bundle).matrix.shape == bundle_projection(tmp_path / "plain").matrix.shape


def test_a_changed_blob_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = (bundle / "tokenizer.json").resolve()
    blob.write_bytes(blob.read_bytes().replace(b"merge", b"MERGE"))
    assert main(["verify", str(bundle), "--json"]) == 1
    failed = [check["name"] for check in json.loads(capsys.readouterr().out)["checks"] if not check["passed"]]
    assert "tokenizer.json" in failed


def test_a_teacher_and_a_general_student_may_lie_there(tmp_path: Path) -> None:
    teacher = make_teacher(tmp_path / "teacher")
    linked = hub_cache(teacher, tmp_path / "hub" / "models--one--teacher")
    sources = [resolve_teacher(TeacherSettings(model=str(folder))) for folder in (teacher, linked)]
    assert sources[0].sha256 == sources[1].sha256 and sources[0].fingerprint == sources[1].fingerprint
    student = packaged.MODELS / "general-english" / "bundle"
    general = read_general(hub_cache(student, tmp_path / "hub" / "models--one--student"))
    assert (general.table == read_general(student).table).all()
