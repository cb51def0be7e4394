"""The student that comes with the package, asked for by its name on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import miniature
from builders.tiny_recipe import REPOSITORY, Command
from pocketrank.cli.main import build_parser, main
from pocketrank.runtime import packaged
from pocketrank.runtime.errors import UnavailableError

SENTENCES = "merge two sorted lists\nopen a network connection\nread text from socket\n"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that has a general student: the miniature stands in for it."""
    monkeypatch.setattr(packaged, "MODELS", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(SENTENCES, encoding="utf-8")
    return miniature.write_bundle(tmp_path / "models" / "general-english" / "bundle")


def first_hit(printed: str) -> str:
    hit = json.loads(printed)["hits"][0]
    return hit["title"] or hit["text"]


def test_search_needs_no_bundle_when_it_has_a_corpus(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["search", "--corpus", "notes.txt", "a network connection", "--json"],
        ["search", "a network connection", "--corpus", "notes.txt", "--json"],
        ["search", "general-english", "a network connection", "--corpus", "notes.txt", "--json"],
        ["search", "general-english", "--corpus", "notes.txt", "--json", "a network connection"],
        ["search", str(shipped), "-k", "1", "a network connection", "--corpus", "notes.txt", "--json"],
    ):
        assert main(words) == 0
        assert "network" in first_hit(capsys.readouterr().out)


def test_search_with_nothing_to_search_says_what_to_name(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "a network connection"]) == 2
    assert "name an index or a bundle, or a corpus by --corpus" in capsys.readouterr().err


def test_an_index_goes_where_it_is_told_and_never_into_the_package(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "general-english", "notes.txt"]) == 2
    assert "--out" in capsys.readouterr().err
    assert sorted(path.name for path in shipped.parent.iterdir()) == ["bundle"]
    assert main(["index", "general-english", "notes.txt", "--out", "made"]) == 0
    capsys.readouterr()
    assert main(["search", "made", "sorted lists", "--bundle", "general-english", "--json"]) == 0
    assert "sorted" in first_hit(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_other_commands_take_the_name(shipped: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "general-english", "--json"]) == 0
    by_name = capsys.readouterr().out
    assert main([command, str(shipped), "--json"]) == 0
    assert capsys.readouterr().out == by_name


def test_compare_takes_the_name_on_both_sides(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "general-english", str(shipped), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["evaluate", "benchmark", "demo"])
def test_the_name_is_resolved_before_the_command_runs(shipped: Path, command: str) -> None:
    from pocketrank.cli.main import build_parser

    parsed = build_parser(command).parse_args(
        [command, "general-english", *([] if command == "benchmark" else ["data"])]
    )
    assert (parsed.model if command == "benchmark" else parsed.bundle) == shipped


def test_an_existing_path_of_that_name_wins(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "general-english").mkdir()
    assert packaged.bundle_path("general-english") == Path("general-english")


def test_a_package_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "MODELS", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UnavailableError, match=r"has no general-english .* install a release of pocketrank that has it"
    ):
        packaged.bundle_path("general-english")
    assert main(["verify", "general-english"]) == 3


@pytest.fixture
def general() -> Path:
    folder = packaged.MODELS / packaged.GENERAL
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist: this checkout has no general student yet")
    return folder


def test_the_shipped_student_verifies(general: Path, pocketrank: Command) -> None:
    done = pocketrank("verify", "general-english")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fresh_install_answers_without_torch(general: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(
        "The certificate is renewed every ninety days.\nBread is baked at dawn.\nCats sleep most of the day.\n",
        encoding="utf-8",
    )
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'onnx', 'safetensors', 'sentence_transformers'):\n"
        "    sys.modules[name] = None\n"
        "from pocketrank.cli.main import main\n"
        "sys.exit(main(['search', '--corpus', 'notes.txt', 'when do felines rest', '--json']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Cats" in first_hit(done.stdout)


def test_the_wheel_has_what_the_package_promises(general: Path) -> None:
    import tomllib

    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "pocketrank.models" in settings["packages"]
    patterns = settings["package-data"]["pocketrank.models"]
    matched = {path for pattern in patterns for path in packaged.MODELS.glob(pattern)}
    missing = [path for path in general.rglob("*") if path.is_file() and path not in matched]
    assert not missing


def test_students_start_from_the_shipped_bundle(general: Path) -> None:
    from pocketrank.pipeline.settings import StudentSettings
    from pocketrank.pipeline.student.pretrained import general_folder, read_general

    start = read_general(general_folder(StudentSettings()))
    config = json.loads((general / "bundle" / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == len(start.table) and config["num_hidden_layers"] == start.encoder.shape.layers


def test_demo_takes_its_name(shipped: Path) -> None:
    assert build_parser("demo").parse_args(["demo", "general-english", "notes.txt"]).bundle == shipped
