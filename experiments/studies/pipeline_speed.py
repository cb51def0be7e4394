"""Overhead of teacher encoding and student training over the bare models, and memory that encoding takes.

Examples: python -m experiments.studies.pipeline_speed                       # teacher texts/s and student tokens/s
          python -m experiments.studies.pipeline_speed --memory 10000 100000 # peak memory by number of texts

"Bare" is the model alone on the very same batches: tokenize, forward (teacher); forward, loss, backward, update on
tensors that are ready (student). Everything runs on one thread. Both sides are run interleaved, several times, and the
medians are compared: the pipeline may cost at most a tenth more. Processor time is what is compared, because it does
not change when other processes take the cores; wall time is shown too.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from pocketrank.pipeline.distill.batches import BatchPlan
from pocketrank.pipeline.distill.trainer import Trainer
from pocketrank.pipeline.distill.training_data import TrainingData
from pocketrank.pipeline.losses.batch import EmbeddingBatch
from pocketrank.pipeline.losses.weighted import WeightedLosses
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.initialization import random_weights
from pocketrank.pipeline.student.model import FlatParameters, Student, shape_of
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.teacher.vectors.shards import cut_shards, encode_shards
from pocketrank.runtime.encoder import length_batches
from pocketrank.runtime.progress import NoProgress

SYLLABLES = ("ta", "ker", "ni", "mos", "il", "ver", "an", "de", "por", "sul", "ex", "ing", "er", "lo", "cat", "re")


def made_up_texts(count: int, words: tuple[int, int], seed: int = 1) -> list[str]:
    """Return texts of made-up words; the time a model takes depends on their number of tokens alone."""
    rng = random.Random(seed)
    lexicon = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(3000)]
    return [" ".join(rng.choices(lexicon, k=rng.randint(*words))) for _ in range(count)]


def timed(work: Callable[[], int]) -> tuple[float, float, int]:
    """Return processor seconds, wall seconds, and what `work` counted."""
    cpu, wall = time.process_time(), time.perf_counter()
    count = work()
    return time.process_time() - cpu, time.perf_counter() - wall, count


def compare(name: str, unit: str, bare: Callable[[], int], ours: Callable[[], int], repeats: int) -> dict[str, object]:
    """Run both sides interleaved and return their rates and our overhead."""
    bare()
    ours()
    runs = [(timed(bare), timed(ours)) for _ in range(repeats)]
    cpu = [statistics.median(run[side][0] for run in runs) for side in (0, 1)]
    wall = [statistics.median(run[side][1] for run in runs) for side in (0, 1)]
    overheads = [run[1][0] / run[0][0] - 1 for run in runs]
    count = runs[0][0][2]
    return {
        "what": name,
        f"bare_{unit}_per_cpu_second": round(count / cpu[0], 1),
        f"pipeline_{unit}_per_cpu_second": round(count / cpu[1], 1),
        f"bare_{unit}_per_second": round(count / wall[0], 1),
        f"pipeline_{unit}_per_second": round(count / wall[1], 1),
        "overhead": round(statistics.median(overheads), 4),
        "overheads": [round(value, 4) for value in overheads],
    }


def teacher_speed(teacher: BiEncoder, texts: list[str], name: str, repeats: int) -> dict[str, object]:
    """Compare the sharded encoding of `texts` with the model's forward on the same batches."""
    settings = TeacherSettings()
    runs = iter(range(1000))

    def bare() -> int:
        with torch.inference_mode():
            for first in range(0, len(texts), settings.shard_texts):
                shard = texts[first : first + settings.shard_texts]
                for batch in batches[first]:
                    teacher.model(preprocess([shard[index] for index in batch]))["sentence_embedding"].numpy()
        return len(texts)

    def ours() -> int:
        folder = Path(scratch) / str(next(runs))
        folder.mkdir()
        source = lambda: cut_shards(texts, "document", "speed", folder, settings.shard_texts)  # noqa: E731
        _, done = encode_shards(teacher, [source], 1, NoProgress())
        return done.texts

    preprocess = getattr(teacher.model, "preprocess", None) or teacher.model.tokenize
    batches = {
        first: list(
            length_batches(
                teacher.lengths(texts[first : first + settings.shard_texts], "document"), teacher.batch_tokens
            )
        )
        for first in range(0, len(texts), settings.shard_texts)
    }
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as scratch:
        return compare(f"teacher, {name}", "texts", bare, ours, repeats)


def student_speed(repeats: int, steps: int = 12) -> dict[str, object]:
    """Compare the trainer with a bare loop over the same batches."""
    student = StudentSettings()
    distill = DistillSettings(steps=10**6, workers=1, validation_texts=0)
    rng = np.random.default_rng(0)
    lengths = np.where(np.arange(4000) < 1000, rng.integers(60, 200, 4000), rng.integers(6, 30, 4000))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(5, 8192, starts[-1]).astype(np.int32)
    texts = TokenizedTexts(ids, starts, np.arange(4000) < 1000)
    targets = rng.standard_normal((4000, 192)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    parameters = FlatParameters(shape_of(student, 8192, 192))
    trainer = Trainer(distill, 1, parameters, TrainingData(texts, targets))
    random_weights(trainer.student.tensors, 1)
    plan = BatchPlan(texts, np.empty(0, np.int64), distill, 1)
    flat, gradient = torch.zeros(parameters.length), torch.zeros(parameters.length)
    bare_student = Student(parameters, flat, gradient)
    random_weights({name: tensor.detach() for name, tensor in bare_student.tensors.items()}, 1)
    weights = torch.nn.Parameter(flat)
    weights.grad = gradient
    optimiser = torch.optim.AdamW([weights], lr=1e-4, fused=True)
    losses = WeightedLosses(distill.losses)
    position = {"bare": 0, "ours": 0}
    corpus, none = torch.from_numpy(targets[texts.is_document]), torch.empty(0, dtype=torch.int64)
    ready = {}
    for step in range(steps * (repeats + 1)):
        parts = plan.parts(step, distill.shards)
        rows = np.concatenate(parts)
        inputs = [tuple(map(torch.from_numpy, texts.padded(part))) for part in parts]
        ready[step] = inputs, torch.from_numpy(targets[rows]), torch.from_numpy(texts.is_document[rows])

    def bare() -> int:
        tokens = 0
        for step in range(position["bare"], position["bare"] + steps):
            inputs, wanted, documents = ready[step]
            gradient.zero_()
            vectors = torch.cat([bare_student.encode(*part) for part in inputs])
            losses(EmbeddingBatch(vectors, wanted, documents, corpus, none, none))[0].backward()
            bare_student.add_table_gradient()
            optimiser.step()
            tokens += sum(int(part[1].sum()) for part in inputs)
        position["bare"] += steps
        return tokens

    def ours() -> int:
        before = trainer.speed()["tokens"]
        for _ in range(steps):
            trainer.train_step(NoProgress())
        return trainer.speed()["tokens"] - before

    return compare("student, default shape", "tokens", bare, ours, repeats)


_MEASURE = """
import json, sys
from experiments.studies.pipeline_speed import encode_and_weigh
print(json.dumps(encode_and_weigh(int(sys.argv[1]))))
"""


def encode_and_weigh(count: int) -> dict[str, float]:
    """Encode `count` short texts through the stage and return the peak resident memory of parent and workers."""
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        folder = Path(name)
        for stage in ("corpus", "queries", "output", "work"):
            (folder / stage).mkdir()
        with (folder / "corpus" / "corpus.jsonl").open("w") as stream:
            for block in range(0, count // 2, 1000):  # never all of them at once: the parent is what is weighed
                for text in made_up_texts(min(1000, count // 2 - block), (2, 4), seed=block):
                    stream.write(json.dumps({"_id": "", "title": "", "text": text}) + "\n")
        with (folder / "queries" / "training.jsonl").open("w") as stream:
            for block in range(0, count // 2, 1000):
                for text in made_up_texts(min(1000, count // 2 - block), (2, 4), seed=block + 1):
                    stream.write(json.dumps({"text": text, "role": "query", "kind": "crop"}) + "\n")
        (folder / "corpus" / "queries.jsonl").write_text("")
        inputs = {stage: folder / stage for stage in ("corpus", "queries")}
        recipe = Recipe("memory", teacher=TeacherSettings(workers=2))
        started = time.perf_counter()
        run_teacher(StageContext(recipe, {}, inputs, folder / "output", folder / "work", NoProgress()))
        seconds = time.perf_counter() - started
    kilobytes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "texts": count,
        "parent_peak_megabytes": round(kilobytes[0] / 1024, 1),
        "largest_worker_peak_megabytes": round(kilobytes[1] / 1024, 1),
        "texts_per_second": round(count / seconds, 1),
    }


def main() -> None:
    """Measure and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=int, nargs="+", metavar="TEXTS", help="peak memory for these numbers of texts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--short", type=int, default=512, help="short texts to encode per repeat")
    parser.add_argument("--passages", type=int, default=48, help="passages to encode per repeat")
    arguments = parser.parse_args()
    for count in arguments.memory or ():
        command = [sys.executable, "-c", _MEASURE, str(count)]  # a fresh process: peaks never fall
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)
    if arguments.memory:
        return
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    teacher = BiEncoder(resolve_teacher(TeacherSettings()), TeacherSettings())
    for name, count, words in (("short texts", arguments.short, (3, 12)), ("passages", arguments.passages, (60, 110))):
        print(json.dumps(teacher_speed(teacher, made_up_texts(count, words), name, arguments.repeats)), flush=True)
    print(json.dumps(student_speed(arguments.repeats)), flush=True)


if __name__ == "__main__":
    main()
