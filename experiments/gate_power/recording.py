"""Record three bundles interleaved for `run.py`: a plain one, a copy of it, and one that is really slower."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pocketrank.benchmarks.measure.model_files import find_model
from pocketrank.benchmarks.measure.query_texts import BUILT_IN
from pocketrank.benchmarks.measure.run import measure
from pocketrank.benchmarks.measure.session import MeasureSettings
from pocketrank.benchmarks.records.report import Report, read_report, write_report
from pocketrank.runtime.progress import NoProgress, Progress

from experiments.gate_power.bundles import Shape, learn_vocabularies, make_bundle

PLAIN, SAME, SLOWER = "plain", "same", "slower"
# Found by measuring candidates: wider layers cost each query, rows that no text uses cost each start. What the
# slowdown comes to is measured over the whole recording, not taken from here.
SHAPES = {PLAIN: Shape(), SLOWER: Shape(intermediate=1088, spare=22000)}
CHUNK = 10  # repetitions between two writes


def make_bundles(folder: Path) -> dict[str, Path]:
    """Export the three bundles into `folder`; the second one is the first one's files, copied."""
    tokens = learn_vocabularies([SHAPES[PLAIN].tokens])[SHAPES[PLAIN].tokens]
    made = {name: make_bundle(folder, name, shape, tokens) for name, shape in SHAPES.items()}
    made[SAME] = folder / SAME
    if not made[SAME].exists():
        shutil.copytree(made[PLAIN], made[SAME])
    return made


def record(bundles: Mapping[str, Path], folder: Path, repetitions: int, seconds: float, progress: Progress) -> None:
    """Measure the bundles interleaved, a fresh process each, and write a report every `CHUNK` repetitions.

    Within a report the order is forward and then backward; from report to report the first becomes the last.
    Reports that are in `folder` already are kept, so that an interrupted recording goes on where it stopped.
    """
    settings = MeasureSettings(repetitions=CHUNK, min_seconds=seconds, min_queries=100, energy="none", idle_seconds=0.0)
    models = [find_model(bundles[name], name) for name in (PLAIN, SAME, SLOWER)]
    folder.mkdir(parents=True, exist_ok=True)
    chunks = -(-repetitions // CHUNK)
    with progress.task("recording", chunks, "reports") as task:
        for index in range(chunks):
            path = folder / f"{index:04}.json"
            if not path.is_file():
                turn = index % len(models)
                write_report(
                    path, measure([*models[turn:], *models[:turn]], ["host"], settings, BUILT_IN, NoProgress())
                )
            task.advance()


def read_recording(folder: Path) -> list[Report]:
    """Return the reports of a recording, in the order in which they were made."""
    return [read_report(path) for path in sorted(folder.glob("[0-9]*.json"))]
