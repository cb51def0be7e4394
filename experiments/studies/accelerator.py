"""What an accelerator gives: labelling and training on it and on the processor, side by side.

Examples:
    python -m experiments.studies.accelerator --out accelerator.json
    python -m experiments.studies.accelerator --teacher FOLDER --corpus data/scifact --recipe recipes/scifact.toml \
        --out accelerator.json --set distill.steps=1500 --set queries.max_texts=30000

Teacher: the same texts in float32, float16 and bfloat16, bare and through the pipeline; texts and tokens a second, and
the least and mean cosine to the vectors of the processor in float32. Training: made-up texts of usual lengths whose
targets can be learnt; steps a second, whether two runs give the same bytes, and how far the students of accelerator
and processor are apart. Recipe: the stages up to `evaluate` on the accelerator, then training once more on the
processor, from the same vectors. Where there is no accelerator, the processor's part alone is measured. The report is
written after every row, so that what is finished is there when a later row fails.
"""

import argparse
import copy
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from pocketrank.pipeline.code_version import library_versions
from pocketrank.pipeline.distill.trainer import Trainer
from pocketrank.pipeline.distill.training_data import TrainingData
from pocketrank.pipeline.distill.validation import encode_rows
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.runner import run_recipe
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.initialization import random_weights
from pocketrank.pipeline.student.model import FlatParameters, shape_of
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.files import read_shards
from pocketrank.pipeline.teacher.vectors.shards import cut_shards, encode_shards
from pocketrank.pipeline.training.accelerator import (
    Device,
    TrainingDevice,
    available_devices,
    describe_device,
    repeatable_arithmetic,
)
from pocketrank.pipeline.training.worker_pool import available_cores
from pocketrank.runtime.encoder import length_batches
from pocketrank.runtime.files import read_json, write_json
from pocketrank.runtime.progress import Lines, NoProgress

from experiments.figures import machine
from experiments.studies.pipeline_speed import made_up_texts

SHAPES = {  # name: student, texts of a batch
    "2 x 192, 64 texts": (StudentSettings(), 64),
    "3 x 192, 64 texts": (StudentSettings(layers=3, hidden=192, heads=6, intermediate=768), 64),
    "6 x 384, 256 texts": (StudentSettings(layers=6, hidden=384, heads=12, intermediate=1536), 256),
}
FORMATS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
VOCABULARY, DIMENSION = 8192, 192

Add = Callable[[str, dict[str, Any]], None]


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the wall seconds that `work` takes, and what it returns (on the processor, so that it is finished)."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def cosines(vectors: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Return the least and the mean cosine of two sets of unit vectors, row by row; the first ones of `vectors`."""
    products = (vectors[: len(reference)].astype(np.float64) * reference).sum(1)
    return {"least_cosine": round(float(products.min()), 7), "mean_cosine": round(float(products.mean()), 7)}


def measure_teacher(arguments: argparse.Namespace, devices: Sequence[Device], add: Add) -> None:
    """Encode the same texts everywhere and in every format, the processor first."""
    settings = TeacherSettings(model=str(arguments.teacher)) if arguments.teacher else TeacherSettings()
    teacher = BiEncoder(resolve_teacher(settings), settings)
    texts_by_kind = _texts(arguments)
    references, tokens = {}, {}
    for kind, texts in texts_by_kind.items():  # processes are forked before an accelerator is in use
        few = texts[: arguments.cpu_texts]
        seconds, references[kind] = seconds_of(lambda few=few: teacher.encode(few, "document"))
        add("teacher", _rate(kind, "cpu, fp32, one process", few, sum(teacher.lengths(few, "document")), seconds))
        seconds, vectors = seconds_of(lambda texts=texts: _with_all_processes(teacher, texts))
        tokens[kind] = sum(teacher.lengths(texts, "document"))
        name = f"cpu, fp32, {available_cores()} processes"
        add("teacher", _rate(kind, name, texts, tokens[kind], seconds) | cosines(vectors, references[kind]))
    for device in devices:
        for kind, texts in texts_by_kind.items():
            for how, size, encode in _ways(teacher, device):
                encode(texts[:256])  # the first time loads kernels
                seconds, vectors = seconds_of(lambda encode=encode, texts=texts: encode(texts))
                row = _rate(kind, f"{device}, {how}", texts, tokens[kind], seconds) | {"batch_tokens": size}
                add("teacher", row | cosines(vectors, references[kind]))


def _ways(teacher: BiEncoder, device: Device) -> Iterator[tuple[str, int, Callable[[Sequence[str]], np.ndarray]]]:
    """Yield name, tokens of a batch and function of each way to encode on an accelerator."""
    for size in (4096, 65_536):
        for name, kind in FORMATS.items():
            model = copy.deepcopy(teacher.model).to(device, kind)
            yield f"{name}, bare model", size, lambda texts, m=model, s=size: _bare(m, teacher, texts, s)
        teacher.batch_tokens = size
        teacher.compute_on(device)
        for precision in ("fp32", "bf16"):
            yield f"{precision}, pipeline", size, lambda texts, p=precision: teacher.encode(texts, "document", p)


def _texts(arguments: argparse.Namespace) -> dict[str, list[str]]:
    if not arguments.corpus:
        count = arguments.texts
        return {"short texts": made_up_texts(count, (3, 12)), "passages": made_up_texts(count, (60, 110))}
    found = read_retrieval_set(arguments.corpus)
    texts = {"short texts": list(found.queries.values()), "passages": list(found.documents.values())}
    return {kind: read[: arguments.texts] for kind, read in texts.items()}


def _rate(kind: str, how: str, texts: Sequence[str], tokens: int, seconds: float) -> dict[str, Any]:
    return {
        "texts": kind,
        "how": how,
        "number": len(texts),
        "texts_per_second": round(len(texts) / seconds, 1),
        "tokens_per_second": round(tokens / seconds),
    }


def _with_all_processes(teacher: BiEncoder, texts: Sequence[str]) -> np.ndarray:
    """Encode as the stage does; starting the processes counts."""
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        size = min(512, -(-len(texts) // available_cores()))
        source = lambda: cut_shards(texts, "document", "accelerator", Path(folder), size)  # noqa: E731
        paths, _ = encode_shards(teacher, [source], 0, NoProgress())
        return np.concatenate(list(read_shards(paths[0]))).reshape(len(texts), -1)


def _bare(model: Any, teacher: BiEncoder, texts: Sequence[str], batch_tokens: int) -> np.ndarray:
    vectors = np.empty((len(texts), teacher.dimension), np.float32)
    for batch in length_batches(teacher.lengths(texts, "document"), batch_tokens):
        chosen = [texts[index] for index in batch]
        vectors[batch] = model.encode(chosen, batch_size=len(chosen), show_progress_bar=False)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure_training(arguments: argparse.Namespace, devices: Sequence[Device], add: Add) -> None:
    """Train each shape for a while: on the processor once, on an accelerator twice."""
    ways: list[tuple[Device, Literal["fp32", "bf16"]]] = [("cpu", "fp32")]
    for device in devices:
        ways.append((device, "fp32"))
        ways.append((device, "bf16"))
    for name in arguments.shapes:
        student, batch_texts = SHAPES[name]
        data = _training_data()
        reference = None
        for device, precision in ways:
            settings = DistillSettings(
                steps=arguments.steps, batch_texts=batch_texts, precision=precision, checkpoint_seconds=10**6
            )
            runs = [_train(settings, student, data, device) for _ in range(1 if device == "cpu" else 2)]
            hashes = {hashlib.sha256(weights.tobytes()).hexdigest() for _, weights, _ in runs}
            speed, weights, vectors = runs[-1]  # of an accelerator the second run: the first one loads kernels
            row = {
                "student": name,
                "how": f"{device}, {precision}",
                "steps_per_second": round(speed["steps"] / speed["seconds"], 2),
                "tokens_per_second": round(speed["tokens_per_second"]),
                "sha256": min(hashes)[:16],
                "two_runs_give_the_same_bytes": len(hashes) == 1 if len(runs) > 1 else None,
            }
            if reference is not None:
                row |= {"largest_difference_of_weights": float(f"{np.abs(weights - reference[0]).max():.3g}")}
                row |= cosines(vectors, reference[1])
            reference = reference or (weights, vectors)
            target = data.targets[:512]
            add("training", row | {"mean_cosine_to_teacher": round(float((vectors * target).sum(1).mean()), 5)})


def _training_data() -> TrainingData:
    """Return made-up texts; a text's target is the mean of the vectors of its tokens."""
    rng = np.random.default_rng(0)
    documents = np.arange(8000) < 2000
    lengths = np.where(documents, rng.integers(60, 200, 8000), rng.integers(6, 30, 8000))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.zipf(1.3, starts[-1]).clip(max=VOCABULARY - 6).astype(np.int32) + 5
    table = rng.standard_normal((VOCABULARY, DIMENSION)).astype(np.float32)
    targets = np.add.reduceat(table[ids], starts[:-1], axis=0)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return TrainingData(TokenizedTexts(ids, starts, documents), targets.astype(np.float32))


def _train(
    settings: DistillSettings, student: StudentSettings, data: TrainingData, device: Device
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return the speed of a run, its weights, and the student's vectors of some texts."""
    parameters = FlatParameters(shape_of(student, VOCABULARY, DIMENSION))
    with repeatable_arithmetic(device), tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        trainer = Trainer(settings, 1, parameters, data, device=TrainingDevice.chosen(device))
        random_weights(trainer.student.tensors, 1)
        trainer.train(StageContext(Recipe("speed"), {}, {}, Path(name), Path(name), NoProgress()))
    weights = np.concatenate([tensor.numpy().ravel() for tensor in trainer.student.tensors.values()])
    return trainer.speed(), weights, encode_rows(trainer.student, data.texts, np.arange(512))


def measure_recipe(arguments: argparse.Namespace, devices: Sequence[Device], add: Add) -> None:
    """Run a recipe up to `evaluate`, and train once more on the processor from the same vectors."""
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        folder = Path(name)
        overrides = list(arguments.overrides)
        overrides += [f"corpus.path={arguments.corpus.absolute()}"] if arguments.corpus else []
        overrides += [f"teacher.model={arguments.teacher.absolute()}"] if arguments.teacher else []
        label = devices[0] if devices else "cpu"
        overrides += [f"teacher.device={label}"] + ([] if label == "cpu" else ["teacher.batch_tokens=65536"])
        for device in dict.fromkeys((label, "cpu")):
            out = folder / device
            if device != label:  # all but training, and what follows from it, is kept
                shutil.copytree(folder / label, out)
            results = run_recipe(
                arguments.recipe, out, overrides=[*overrides, f"distill.device={device}"], progress=Lines(),
                until="evaluate",
            )  # fmt: skip
            evaluation = read_json(results["evaluate"].folder / "evaluation.json")
            speed = read_json(results["distill"].folder / "speed.json")
            row = {"labelled_on": label, "trained_on": device, "steps_per_second": speed["steps"] / speed["seconds"]}
            row["seconds"] = {name: result.seconds for name, result in results.items() if result.fresh}
            row["ndcg10_of_teacher"] = evaluation["ndcg10"]["teacher"]["value"]
            row["ndcg10_retention"] = {
                name: evaluation["ndcg10_retention"][name] for name in ("symmetric", "asymmetric")
            }
            add("recipe", row)


def _parts(arguments: argparse.Namespace) -> Iterator[Callable[[argparse.Namespace, Sequence[Device], Add], None]]:
    known = {"teacher": measure_teacher, "training": measure_training, "recipe": measure_recipe}
    for part in arguments.parts:
        if part != "recipe" or arguments.recipe:
            yield known[part]


def main() -> None:
    """Measure, print a line a row, and keep the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, help="folder of the teacher; the recipes' own where not given")
    parser.add_argument("--corpus", type=Path, help="a set in BEIR layout; made-up texts where not given")
    parser.add_argument("--recipe", type=Path, help="a recipe to run as well")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--parts", nargs="+", choices=("teacher", "training", "recipe"),
                        default=["teacher", "training", "recipe"])  # fmt: skip
    parser.add_argument("--texts", type=int, default=2000, help="texts of each kind for the teacher")
    parser.add_argument("--cpu-texts", type=int, default=256, help="of these the first ones, on one process")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES)[:2])
    parser.add_argument("--out", type=Path, default=Path("accelerator.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    devices = available_devices()[1:]
    report: dict[str, Any] = {
        "machine": machine(), "versions": library_versions(),
        "accelerators": [describe_device(device) for device in devices],
    }  # fmt: skip

    def add(part: str, row: dict[str, Any]) -> None:
        report.setdefault(part, []).append(row)
        print(part, row, flush=True)
        write_json(arguments.out, report)

    for measure in _parts(arguments):
        started = time.monotonic()
        measure(arguments, devices, add)
        report.setdefault("seconds", {})[measure.__name__] = round(time.monotonic() - started, 1)
    write_json(arguments.out, report)


if __name__ == "__main__":
    main()
