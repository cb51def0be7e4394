"""Run the stages of a recipe: keep what is finished, resume what was interrupted, run what is missing."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from ..runtime.files import (
    atomic_folder,
    disk_errors,
    folder_hashes,
    json_bytes,
    read_json,
    remove_leftovers,
    sha256_bytes,
    write_bytes,
    write_json,
)
from ..runtime.progress import NoProgress, Progress
from ..runtime.schema import did_you_mean, from_mapping, to_mapping
from .code_version import code_version, library_versions
from .preflight import costly_checks, quick_checks
from .recipe import ResolvedRecipe, read_recipe
from .stage import StageContext
from .stages import STAGES, Stage
from .teacher.vectors.cluster import check_place

# What a user looks for at the top of the run's folder: name there -> stage that makes it, and the file that is written
# last, without which a folder is not whole.
PUBLISHED = {
    "bundle": ("bundle", "manifest.json"),
    "student": ("export", "config.json"),  # for PyTorch
    "dual-teacher": ("cross_encoder", "config.json"),  # where there is one
    "index": ("index", "index.json"),
    "report.json": ("benchmark", ""),
    "report.html": ("gate", ""),  # with the verdict in it
    "verdict.json": ("gate", ""),
}
RECORD = "stage.json"
TIMINGS = "speed.json"  # differs whenever a stage is made again, and no stage reads it

OVERWRITE_CHOICES = ("only-missing", "never", "always")


@dataclass(frozen=True)
class StageRecord:
    """What `stage.json` says of a finished stage."""

    key: str
    seconds: float  # of the run that made it
    files: dict[str, str]  # SHA-256 of each, but of this record

    def content(self) -> dict[str, str]:
        """Return the hashes of what other stages may read."""
        return {name: sha256 for name, sha256 in self.files.items() if name != TIMINGS}


@dataclass(frozen=True)
class StageResult:
    """One finished stage."""

    name: str
    folder: Path
    record: StageRecord
    fresh: bool  # made by this run rather than kept from an earlier one

    @property
    def key(self) -> str:
        """Key of the stage: the hash of all that it was made from."""
        return self.record.key

    @property
    def seconds(self) -> float:
        """Seconds that it took the run that made it."""
        return self.record.seconds


def run_recipe(
    recipe: str | Path | ResolvedRecipe,
    out: str | Path = "",
    *,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    overwrite: str = "only-missing",
    until: str = "",
    on: str = "local",
) -> dict[str, StageResult]:
    """Bring every stage of a recipe up to date and return the results by stage name, in order.

    `recipe` is a recipe file or what `read_recipe` made of one, `out` the folder of the run (default:
    `runs/<recipe name>`), and `overrides` are keys of a recipe file as `section.key=value`. `overwrite` is one of
    `only-missing` (keep what is finished and current), `never` (refuse to replace a finished stage that is out of
    date), `always` (run everything again), or `stage:NAME` (run that stage and what follows from it again). `until`
    names the last stage to run, and `on` where the teacher's shards are computed: `local`, `ray` or `ray://HEAD:PORT`.
    Finished stages are kept and interrupted ones resumed, so call it again at any time.

    Raises `InputError` for a recipe, option or input at fault, or when another run is working in `out`, and
    `UnavailableError` when a package, teacher or data set is not there. A broken budget raises nothing: the verdict is
    in `verdict.json`.

    >>> from pocketrank.pipeline import run_recipe
    >>> results = run_recipe("recipe.toml", out="runs/first", overrides=["seed=2"], until="corpus")
    >>> sorted(path.name for path in results["corpus"].folder.glob("*.json*"))
    ['corpus.jsonl', 'manifest.json', 'queries.jsonl', 'stage.json']
    """
    resolved = recipe if isinstance(recipe, ResolvedRecipe) else read_recipe(Path(recipe), overrides)
    forced, stages = _forced_stages(overwrite), _stages_until(until)
    run = _Run(
        resolved,
        Path(out or Path("runs") / resolved.recipe.name),
        progress or NoProgress(),
        forced,
        {},
        check_place(on),
    )
    for _ in quick_checks(resolved.recipe, [stage.name for stage in stages]):
        pass
    with _only_run_in(run.out):
        for folder in (run.out, run.out / "stages"):
            remove_leftovers(folder)
        for _ in costly_checks(resolved.recipe, run.out, run.unfinished(stages)):
            pass
        for stage in stages:
            run.bring_up_to_date(stage, keep_old=overwrite == "never")
        _publish(run.out, run.results)
    return run.results


def check_recipe(resolved: ResolvedRecipe, out: Path, until: str = "") -> Iterator[tuple[str, str]]:
    """Yield what `run_recipe` checks before the first stage, with what was found; raise what it raises then.

    Nothing is written.
    """
    stages = [stage.name for stage in _stages_until(until)]
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{out} cannot be written, because {there} cannot; choose another folder with --out")
    yield "folder", str(out)
    yield from quick_checks(resolved.recipe, stages)
    yield from costly_checks(resolved.recipe, out, stages)


def stage_key(stage: Stage, resolved: ResolvedRecipe, keys: Mapping[str, str]) -> str:
    """Return the key of a stage: recipe sections, the keys `keys` of its inputs, outside data, versions and code."""
    parts: dict[str, Any] = {
        "stage": stage.name,
        "recipe": {section: resolved.resolved_toml.get(section) for section in stage.sections},
        "inputs": {name: keys[name] for name in stage.inputs},
        "external_inputs": stage.external_inputs(resolved.recipe) if stage.external_inputs else None,
        "versions": library_versions(),
        "code": code_version(stage.module),
    }
    return sha256_bytes(json_bytes(parts))


@dataclass(frozen=True)
class _Run:
    """One run of a recipe, with the results of the stages that are up to date already."""

    resolved: ResolvedRecipe
    out: Path
    progress: Progress
    forced: set[str]  # names of stages that are made again even when the finished one is current
    results: dict[str, StageResult]
    on: str  # where shards are computed

    def unfinished(self, stages: Sequence[Stage]) -> set[str]:
        """Return the names of the stages that have no finished output of this recipe, or are made again anyway."""
        keys: dict[str, str] = {}
        missing = set(self.forced)
        for stage in stages:
            keys[stage.name] = stage_key(stage, self.resolved, keys)
            record = read_record(self.out / "stages" / stage.name)
            if record is None or record.key != keys[stage.name]:
                missing.add(stage.name)
        return missing

    def bring_up_to_date(self, stage: Stage, keep_old: bool) -> None:
        """Keep the finished output of `stage`, or make it; with `keep_old`, refuse to replace one that is out of date.

        One whose files are not what was written is made again, and what follows from it too when it turns out
        differently.
        """
        key = stage_key(stage, self.resolved, {name: self.results[name].key for name in stage.inputs})
        title = f"[{STAGES.index(stage) + 1}/{len(STAGES)}] {stage.name}: {stage.purpose}"
        folder = self.out / "stages" / stage.name
        record = read_record(folder)
        damaged = ""
        if record is not None and record.key == key and stage.name not in self.forced:
            damaged = _damaged_file(folder, record)
            if not damaged:
                self.progress.note(f"{title} (kept, made in {record.seconds:.0f} s)")
                self.results[stage.name] = StageResult(stage.name, folder, record, fresh=False)
                return
        elif record is not None and record.key != key and keep_old:
            raise InputError(
                f"{folder} was made by another recipe, input or version and --overwrite never forbids to replace it; "
                f"use --out for another folder, or --overwrite only-missing"
            )
        self.progress.note(title + (f" (made again: {folder / damaged} is damaged)" if damaged else ""))
        scratch = _scratch_folder(self.out, stage, key, fresh=stage.name in self.forced)
        made = self._make(stage, folder, key, scratch)
        if damaged and record is not None and made.content() != record.content():
            self.forced.update(_following({stage.name}))
        self.results[stage.name] = StageResult(stage.name, folder, made, fresh=True)

    def _make(self, stage: Stage, folder: Path, key: str, scratch: Path) -> StageRecord:
        """Run a stage, and put its output at `folder` when it is done; return its record."""
        started = time.monotonic()
        with atomic_folder(folder, RECORD) as output:
            inputs = {name: self.results[name].folder for name in stage.inputs}
            recipe, resolved_toml = self.resolved.recipe, self.resolved.resolved_toml
            stage.run(StageContext(recipe, resolved_toml, inputs, output, scratch, self.progress, self.on))
            record = StageRecord(key, round(time.monotonic() - started, 3), folder_hashes(output))
            write_json(output / RECORD, to_mapping(record))
        shutil.rmtree(scratch, ignore_errors=True)
        return record


def _publish(out: Path, results: Mapping[str, StageResult]) -> None:
    """Copy the parts that users look for from the stages to the top of the run's folder, where they are not yet there.

    What is copied is held to the hashes of when the stage was finished.
    """
    for name, (stage, last) in PUBLISHED.items():
        source = results[stage].folder / name if stage in results else None
        if source is None or not source.exists():
            continue
        files = results[stage].record.files
        if source.is_file():
            data = source.read_bytes()
            _check_copy(source, sha256_bytes(data) == files.get(name))
            write_bytes(out / name, data)
            continue
        wanted = {file.removeprefix(f"{name}/"): sha for file, sha in files.items() if file.startswith(f"{name}/")}
        remove_leftovers(out / name)
        if folder_hashes(out / name) == wanted:
            continue
        with atomic_folder(out / name, last) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            _check_copy(source, folder_hashes(folder) == wanted)


def _check_copy(source: Path, intact: bool) -> None:
    if not intact:
        raise InputError(f"{source} has changed since it was made; run the same command again, which makes it again")


def read_record(folder: Path) -> StageRecord | None:
    """Return the record of a finished stage, or `None` when there is none that can be read."""
    path = folder / RECORD
    try:
        return from_mapping(StageRecord, read_json(path), str(path)) if path.is_file() else None
    except InputError:
        return None


def _damaged_file(folder: Path, record: StageRecord) -> str:
    """Return the name of a file that is not what the stage wrote, is missing or strange; nothing when all is well."""
    found = folder_hashes(folder)
    found.pop(RECORD, None)
    names = sorted(found.keys() | record.files.keys())
    return next((name for name in names if found.get(name) != record.files.get(name)), "")


def _scratch_folder(out: Path, stage: Stage, key: str, fresh: bool) -> Path:
    """Return the stage's scratch folder, emptied unless an interrupted run with the same key left it."""
    scratch = out / "stages" / f".{stage.name}.work"
    mark = scratch / "key"
    if fresh or not mark.is_file() or mark.read_text(encoding="ascii", errors="replace") != key:
        shutil.rmtree(scratch, ignore_errors=True)
        with disk_errors(scratch):
            scratch.mkdir(parents=True)
            write_bytes(mark, key.encode("ascii"))
    return scratch


def _forced_stages(overwrite: str) -> set[str]:
    if overwrite == "always":
        return {stage.name for stage in STAGES}
    if not overwrite.startswith("stage:"):
        if overwrite not in OVERWRITE_CHOICES:
            raise InputError(f"--overwrite {overwrite}: {did_you_mean(overwrite, (*OVERWRITE_CHOICES, 'stage:NAME'))}")
        return set()
    named = {_stage_named(overwrite.removeprefix("stage:"), "--overwrite stage").name}
    return named | _following(named)


def _following(names: set[str]) -> set[str]:
    """Return the names of the stages that read one of `names`, or one that does."""
    found: set[str] = set()
    for stage in STAGES:
        if (names | found).intersection(stage.inputs):
            found.add(stage.name)
    return found


def _stages_until(name: str) -> tuple[Stage, ...]:
    return STAGES[: STAGES.index(_stage_named(name, "--until")) + 1] if name else STAGES


def _stage_named(name: str, option: str) -> Stage:
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise InputError(f"{option}: there is no stage {name!r}; {did_you_mean(name, (stage.name for stage in STAGES))}")


@contextmanager
def _only_run_in(out: Path) -> Iterator[None]:
    """Hold a lock on the run's folder, so that two runs never write to it at once."""
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        stream = (out / ".lock").open("w")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is working in {out}; wait for it, or use --out") from None
        # Worker processes may outlive a killed run for a moment; the lock must not.
        os.register_at_fork(after_in_child=stream.close)
        yield
