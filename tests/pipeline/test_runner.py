"""The runner keeps what is finished, runs what is missing, and never leaves half an output."""

import doctest
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pocketrank import pipeline
from pocketrank.pipeline import code_version, runner
from pocketrank.pipeline.recipe import ResolvedRecipe, read_recipe
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.stages import STAGES, Stage
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

CALLS: list[str] = []


def first(context: StageContext) -> None:
    CALLS.append("first")
    (context.output / "value").write_text(str(context.recipe.seed), encoding="ascii")


def second(context: StageContext) -> None:
    CALLS.append("second")
    finished = context.scratch / "half"
    if not finished.exists():
        finished.write_text("done", encoding="ascii")
        if context.recipe.student.layers == 13:
            raise KeyboardInterrupt
    value = (context.inputs["first"] / "value").read_text(encoding="ascii")
    (context.output / "doubled").write_text(value * 2, encoding="ascii")
    (context.output / "folder").mkdir()
    for name in ("first", "last"):
        (context.output / "folder" / name).write_text(value, encoding="ascii")


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (
        Stage("first", first, (), ("seed",), "the first"),
        Stage("second", second, ("first",), ("student",), "the second"),
    )
    monkeypatch.setattr(runner, "STAGES", table)
    monkeypatch.setattr(runner, "PUBLISHED", {"doubled": ("second", ""), "folder": ("second", "last")})
    CALLS.clear()


class Notes(NoProgress):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def recipe(folder: Path, *overrides: str) -> ResolvedRecipe:
    path = folder / "r.toml"
    path.write_text('name = "r"\n', encoding="utf-8")
    return read_recipe(path, overrides)


@pytest.mark.usefixtures("two_stages")
class TestCache:
    """What runs again, and what does not."""

    def run(self, tmp_path: Path, *overrides: str, overwrite: str = "only-missing") -> list[str]:
        CALLS.clear()
        runner.run_recipe(recipe(tmp_path, *overrides), tmp_path / "out", overwrite=overwrite)
        return list(CALLS)

    def test_finished_stages_are_kept(self, tmp_path: Path) -> None:
        assert self.run(tmp_path) == ["first", "second"]
        assert self.run(tmp_path) == []
        assert (tmp_path / "out" / "doubled").read_text(encoding="ascii") == "11"

    def test_a_changed_section_reruns_its_stage_and_what_follows(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        assert self.run(tmp_path, "student.layers=5") == ["second"]
        assert self.run(tmp_path, "student.layers=5", "seed=2") == ["first", "second"]
        assert self.run(tmp_path, "student.layers=5", "seed=2", "distill.steps=1") == []

    def test_overwrite_choices(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        assert self.run(tmp_path, overwrite="stage:second") == ["second"]
        assert self.run(tmp_path, overwrite="stage:first") == ["first", "second"]
        assert self.run(tmp_path, overwrite="always") == ["first", "second"]
        assert self.run(tmp_path, overwrite="never") == []
        with pytest.raises(InputError, match="never forbids"):
            self.run(tmp_path, "seed=9", overwrite="never")
        with pytest.raises(InputError, match="did you mean 'second'"):
            self.run(tmp_path, overwrite="stage:secnd")

    @pytest.mark.parametrize("damage", ["emptied", "one bit", "gone", "a strange file"])
    def test_a_damaged_output_is_made_again_and_said(self, damage: str, tmp_path: Path) -> None:
        self.run(tmp_path)
        path = tmp_path / "out" / "stages" / "first" / "value"
        if damage == "gone":
            path.unlink()
        elif damage == "a strange file":
            path.with_name("value.txt").write_bytes(b"1")
        else:
            path.write_bytes(b"" if damage == "emptied" else b"0")
        CALLS.clear()
        notes = Notes()
        runner.run_recipe(recipe(tmp_path), tmp_path / "out", progress=notes)
        assert CALLS == ["first"]
        assert [line for line in notes.lines if "damaged" in line] == [notes.lines[0]]
        assert notes.lines[0].startswith("[1/2] first: the first (made again: ")
        assert self.run(tmp_path) == []

    def test_what_follows_a_damaged_stage_is_made_again_when_the_new_output_is_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run(tmp_path)
        (tmp_path / "out" / "stages" / "first" / "value").write_bytes(b"")

        def another(context: StageContext) -> None:
            CALLS.append("first")
            (context.output / "value").write_text("7", encoding="ascii")

        table = (Stage("first", another, (), ("seed",), "the first"), runner.STAGES[1])
        monkeypatch.setattr(runner, "STAGES", table)
        assert self.run(tmp_path) == ["first", "second"]
        assert (tmp_path / "out" / "doubled").read_text(encoding="ascii") == "77"

    def test_hidden_files_of_others_are_no_damage(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        (tmp_path / "out" / "stages" / "first" / ".DS_Store").write_bytes(b"")
        assert self.run(tmp_path) == []

    def test_what_is_published_is_the_stages_output_or_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        self.run(tmp_path)
        for name in ("doubled", "folder/first", "folder/strange"):
            (out / name).write_text("damaged", encoding="ascii")
        assert self.run(tmp_path) == []
        assert (out / "doubled").read_text(encoding="ascii") == "11"
        assert {path.name: path.read_text(encoding="ascii") for path in (out / "folder").iterdir()} == {
            "first": "1",
            "last": "1",
        }
        # Damage that comes after the check of the kept stages is seen when they are copied.
        (out / "folder" / "first").write_text("9", encoding="ascii")
        (out / "stages" / "second" / "folder" / "first").write_text("9", encoding="ascii")
        monkeypatch.setattr(runner, "_damaged_file", lambda folder, record: "")
        with pytest.raises(InputError, match="has changed since it was made"):
            self.run(tmp_path)

    def test_leftovers_of_killed_runs_are_removed(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        out = tmp_path / "out"
        leftovers = [out / ".folder.1.partial", out / ".folder.1.old", out / "stages" / ".second.1.partial"]
        leftovers.append(out / "folder" / ".folder.1.partial")
        for folder in leftovers:
            folder.mkdir()
            (folder / "file").write_bytes(b"x")
        (out / ".doubled.1.partial").write_bytes(b"x")
        assert self.run(tmp_path) == []
        assert not [path for path in out.rglob("*") if path.name.endswith((".partial", ".old"))]

    def test_an_interrupted_stage_leaves_no_output_and_resumes_from_its_work(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path, "student.layers=13")
        assert not (tmp_path / "out" / "stages" / "second").exists()
        assert self.run(tmp_path, "student.layers=13") == ["second"]
        assert (tmp_path / "out" / "doubled").read_text(encoding="ascii") == "11"

    def test_work_of_another_key_is_thrown_away(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path, "student.layers=13")
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path, "student.layers=13", "seed=5")


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
            "print('held', flush=True); time.sleep(600)",
            str(tmp_path / ".lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another run is working"):
            runner.run_recipe(recipe(tmp_path), tmp_path)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()


def test_a_lock_ends_with_its_process_though_its_workers_live_on(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from pocketrank.pipeline import runner\n"
        "with runner._only_run_in(Path(sys.argv[1])):\n"
        "    if not os.fork():  # the worker speaks once it has let go of the lock\n        print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, process_group=0)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another run is working"), runner._only_run_in(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        os.killpg(holder.pid, 0)  # the worker lives
        with runner._only_run_in(tmp_path):
            pass
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


def test_the_door_takes_a_path_as_text_and_its_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    for name, bird in (("a", "penguin"), ("b", "albatross"), ("c", "swallow"), ("d", "kingfisher"), ("e", "owl")):
        text = f"The {bird} lives near water. It eats fish and {name * 5} in the evening, when no {bird} is hungry."
        (Path("texts") / f"{name}.txt").write_text(text, encoding="utf-8")
    corpus = '[corpus]\nsource = "texts"\npath = "./texts"\ntest_fraction = 0.4\n'
    Path("recipe.toml").write_text(corpus, encoding="utf-8")
    assert pipeline.__all__ == ["run_recipe"] and pipeline.run_recipe is runner.run_recipe
    outcome = doctest.testmod(runner)
    assert outcome.attempted == 3 and outcome.failed == 0
    assert (tmp_path / "runs" / "first" / "stages" / "corpus").is_dir()
    results = pipeline.run_recipe("recipe.toml", until="corpus")
    assert str(results["corpus"].folder) == "runs/recipe/stages/corpus"
    with pytest.raises(InputError, match="nowhere"):
        pipeline.run_recipe("nowhere.toml")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pipeline.nothing  # noqa: B018


def test_every_stage_of_the_table_can_be_loaded_and_reads_only_earlier_ones() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert callable(stage.run)
        assert seen.issuperset(stage.inputs)
        seen.add(stage.name)


def test_code_version_follows_imports_but_not_plumbing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = code_version._imported_names(
        Path(runner.__file__).with_name("packaging") / "index_stage.py", "pocketrank.pipeline.packaging.index_stage"
    )
    assert "pocketrank.runtime.search.build" in names
    assert "pocketrank.pipeline.corpus.output" in names
    hashed: list[str] = []

    def record(path: Path) -> str:
        hashed.append(path.name)
        return "0"

    monkeypatch.setattr(code_version, "sha256_file", record)
    code_version.code_version.__wrapped__("pocketrank.pipeline.packaging.index_stage")
    assert {"index_stage.py", "index.py", "dataset.py", "encoder.py"} <= set(hashed)
    assert not {"errors.py", "files.py", "settings.py"} & set(hashed)
