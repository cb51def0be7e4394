"""Run the stages of a recipe: keep what is finished, resume what was interrupted, run what is missing."""

import fcntl
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
    folder_sizes,
    json_bytes,
    read_json,
    replace_folder,
    sha256_bytes,
    write_bytes,
    write_json,
)
from ..runtime.progress import NoProgress, Progress
from ..runtime.schema import did_you_mean
from .code_version import code_version, library_versions
from .recipe import ResolvedRecipe, read_recipe
from .stage import StageContext
from .stages import STAGES, Stage

# What a user looks for at the top of the run's folder: name there -> stage that makes it.
PUBLISHED = {
    "bundle": "bundle",
    "student": "export",  # for PyTorch
    "dual-teacher": "cross_encoder",  # where there is one
    "index": "index",
    "report.json": "benchmark",
    "report.html": "gate",  # with the verdict in it
    "verdict.json": "gate",
}

OVERWRITE_CHOICES = ("only-missing", "never", "always")


@dataclass(frozen=True)
class StageResult:
    """One finished stage."""

    name: str
    folder: Path
    key: str
    seconds: float  # of the run that made it
    fresh: bool  # made by this run rather than kept from an earlier one


def run_recipe(
    recipe: str | Path | ResolvedRecipe,
    out: str | Path = "",
    *,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    overwrite: str = "only-missing",
    until: str = "",
) -> dict[str, StageResult]:
    """Bring every stage of a recipe up to date and return the results by stage name, in order.

    `recipe` is a recipe file or what `read_recipe` made of one, `out` the folder of the run (default:
    `runs/<recipe name>`), and `overrides` are keys of a recipe file as `section.key=value`. `overwrite` is one of
    `only-missing` (keep what is finished and current), `never` (refuse to replace a finished stage that is out of
    date), `always` (run everything again), or `stage:NAME` (run that stage and what follows from it again). `until`
    names the last stage to run. Finished stages are kept and interrupted ones resumed, so call it again at any time.

    Raises `InputError` for a recipe, option or input at fault, or when another run is working in `out`, and
    `UnavailableError` when a package, teacher or data set is not there. A broken budget raises nothing: the verdict is
    in `verdict.json`.

    >>> from pocketrank.pipeline import run_recipe
    >>> results = run_recipe("recipe.toml", out="runs/first", overrides=["seed=2"], until="corpus")
    >>> sorted(path.name for path in results["corpus"].folder.glob("*.json*"))
    ['corpus.jsonl', 'manifest.json', 'queries.jsonl', 'stage.json']
    """
    resolved = recipe if isinstance(recipe, ResolvedRecipe) else read_recipe(Path(recipe), overrides)
    forced = _forced_stages(overwrite)
    last = _stage_named(until, "--until").name if until else STAGES[-1].name
    run = _Run(resolved, Path(out or Path("runs") / resolved.recipe.name), progress or NoProgress(), {})
    with _only_run_in(run.out):
        for stage in STAGES:
            run.bring_up_to_date(stage, forced=stage.name in forced, keep_old=overwrite == "never")
            if stage.name == last:
                break
        _publish(run.out, run.results)
    return run.results


def stage_key(stage: Stage, resolved: ResolvedRecipe, results: Mapping[str, StageResult]) -> str:
    """Return the key of a stage: recipe sections, keys of its inputs, outside data, versions and code."""
    parts: dict[str, Any] = {
        "stage": stage.name,
        "recipe": {section: resolved.resolved_toml.get(section) for section in stage.sections},
        "inputs": {name: results[name].key for name in stage.inputs},
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
    results: dict[str, StageResult]

    def bring_up_to_date(self, stage: Stage, forced: bool, keep_old: bool) -> None:
        """Keep the finished output of `stage`, or make it; with `keep_old`, refuse to replace one that is out of date.

        `forced` makes it even when the finished one is current.
        """
        key = stage_key(stage, self.resolved, self.results)
        title = f"[{STAGES.index(stage) + 1}/{len(STAGES)}] {stage.name}: {stage.purpose}"
        folder = self.out / "stages" / stage.name
        record = read_record(folder)
        if record is not None and record["key"] == key and not forced:
            self.progress.note(f"{title} (kept, made in {record['seconds']:.0f} s)")
            self.results[stage.name] = StageResult(stage.name, folder, key, record["seconds"], fresh=False)
            return
        if record is not None and keep_old:
            raise InputError(
                f"{folder} was made by another recipe, input or version and --overwrite never forbids to replace it; "
                f"use --out for another folder, or --overwrite only-missing"
            )
        self.progress.note(title)
        seconds = self._make(stage, folder, key, _scratch_folder(self.out, stage, key, fresh=forced))
        self.results[stage.name] = StageResult(stage.name, folder, key, seconds, fresh=True)

    def _make(self, stage: Stage, folder: Path, key: str, scratch: Path) -> float:
        """Run a stage, and put its output at `folder` when it is done; return the seconds that it took."""
        started = time.monotonic()
        output = scratch.with_name(f".{stage.name}.partial")
        with disk_errors(folder):
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            inputs = {name: self.results[name].folder for name in stage.inputs}
            recipe, resolved_toml = self.resolved.recipe, self.resolved.resolved_toml
            stage.run(StageContext(recipe, resolved_toml, inputs, output, scratch, self.progress))
            seconds = time.monotonic() - started
            record = {"key": key, "seconds": round(seconds, 3), "files": folder_sizes(output)}
            write_json(output / "stage.json", record)
            replace_folder(output, folder)
            shutil.rmtree(scratch, ignore_errors=True)
        return seconds


def _publish(out: Path, results: Mapping[str, StageResult]) -> None:
    """Copy the parts that users look for from the stages to the top of the run's folder."""
    for name, stage in PUBLISHED.items():
        source = results[stage].folder / name if stage in results else None
        if source is None or not source.exists():
            continue
        if source.is_file():
            write_bytes(out / name, source.read_bytes())
            continue
        with atomic_folder(out / name) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a finished stage, or `None` when there is none or a file of it is gone or cut short."""
    path = folder / "stage.json"
    if not path.is_file():
        return None
    try:
        record = read_json(path)
        complete = record["files"] == {
            name: size for name, size in folder_sizes(folder).items() if name != "stage.json"
        }
        return record if complete and isinstance(record["key"], str) else None
    except (InputError, KeyError, TypeError):
        return None


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
    forced = {_stage_named(overwrite.removeprefix("stage:"), "--overwrite stage").name}
    for stage in STAGES:
        if forced.intersection(stage.inputs):
            forced.add(stage.name)
    return forced


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
        yield
