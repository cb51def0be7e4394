"""Students of different architecture at about equal bytes, each trained for the same processor time.

Example: pocketrank run recipes/scifact.toml --out runs/labelled --until teacher
         python -m experiments.studies.architectures runs/labelled --out architectures.json

Needs a run whose teacher has labelled the training texts. Makes a vocabulary for each variant, trains it on one
thread, quantizes it, and ranks the test queries with the teacher's documents (asymmetric) and with its own
(symmetric), without and with noise in the queries. `--only` takes some of the variants by name; their rows replace
those in the file.
"""

import argparse
import dataclasses
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pocketrank.export.bundle.tokenizer import compact_tokenizer
from pocketrank.export.graph.schemes import make_plan
from pocketrank.export.graph.static import fold_token_weights
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.calibrate import encode_ids
from pocketrank.pipeline.distill.trainer import Trainer
from pocketrank.pipeline.evaluate.noise_robustness import noisy_queries
from pocketrank.pipeline.quantize.plan_choice import Tokens, training_subset
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts, tokenize
from pocketrank.pipeline.queries.training_texts import TrainingText, read_training_texts
from pocketrank.pipeline.queries.typing_noise import add_typing_noise
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_queries
from pocketrank.pipeline.settings import DistillSettings, StudentSettings, TeacherSettings, VocabularySettings
from pocketrank.pipeline.student.initialization import (
    composed_token_vectors,
    fit_projection,
    read_pieces,
    teacher_weights,
)
from pocketrank.pipeline.student.model import FlatParameters, save_student, shape_of
from pocketrank.pipeline.student.static_initialization import lone_piece_vectors, static_weights
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.output import TeacherOutput
from pocketrank.pipeline.teacher.pca import read_reduction
from pocketrank.pipeline.vocabulary.stage import make_vocabulary
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.projection import read_projection

TABLE, LINEAR = "int4", "int7"
NOISE = 1.0  # of the test queries; 1: every one
CALIBRATION_STEPS = 12


@dataclass(frozen=True)
class Variant:
    """One student; the vocabulary is part of what a number of bytes is spent on."""

    student: StudentSettings
    pieces: int
    start: str = "teacher"  # of a static table: teacher (each piece as a text) or composed (token vectors)
    noise: float = 0.0  # in training texts other than documents, towards the clean text's vector


STATIC = StudentSettings(kind="static", hidden=192)
VARIANTS = {
    "transformer": Variant(StudentSettings(layers=2, hidden=128, heads=4, intermediate=512), 8192),
    "low-rank": Variant(StudentSettings(layers=2, hidden=192, heads=6, intermediate=384, table_rank=64), 8192),
    "static": Variant(STATIC, 8192),
    "static-composed": Variant(STATIC, 8192, start="composed"),
    "static-narrow": Variant(StudentSettings(kind="static", hidden=96), 16384),
    "static-noise": Variant(STATIC, 8192, noise=0.3),
}


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run that went at least as far as the stage teacher")
    parser.add_argument("--cpu-seconds", type=float, default=100, help="of training for each variant")
    parser.add_argument("--documents", type=int, default=0, help="rank among so many documents; 0: all")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="JSON file; rows of other variants in it are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    measured = _Measured(arguments.run / "stages", arguments.documents, arguments.seed)
    for name in arguments.only:
        row = measured.row(VARIANTS[name], arguments.cpu_seconds)
        print(name, json.dumps(row), flush=True)
        _keep(arguments, name, row, measured.facts())


def _keep(arguments: argparse.Namespace, name: str, row: dict[str, Any], facts: dict[str, Any]) -> None:
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    command = (
        f"python -m experiments.studies.architectures RUN --cpu-seconds {arguments.cpu_seconds:g} "
        f"--documents {arguments.documents} --seed {arguments.seed} --out {arguments.out.name}"
    )
    rows = known.get("variants", {}) | {name: row}
    ordered = {key: rows[key] for key in VARIANTS if key in rows}
    arguments.out.write_text(json.dumps({"command": command, **facts, "variants": ordered}, indent=2) + "\n")


class _Measured:
    """What all variants share: texts, the teacher's vectors, and the queries that are ranked."""

    def __init__(self, stages: Path, documents: int, seed: int) -> None:
        self.stages, self.seed = stages, seed
        self.training = read_training_texts(stages / "queries" / "training.jsonl")
        self.targets = TeacherOutput(stages / "teacher").training_targets(len(self.training))
        self.teacher = load_teacher(TeacherSettings()).first
        self.reduction = read_reduction(stages / "teacher" / "projection.safetensors")
        whole = read_retrieval_set(stages / "corpus")
        vectors = np.load(stages / "teacher" / "documents.npy", allow_pickle=False)
        self.whole, self.corpus = whole, _part(whole, documents)
        places = {name: place for place, name in enumerate(whole.documents)}
        projection = read_projection(stages / "teacher" / "projection.safetensors")
        self.vectors = vectors[[places[name] for name in self.corpus.documents]]
        self.documents = projection.apply(self.vectors)
        self.noisy = noisy_queries(self.corpus, "test", NOISE, seed)

    def facts(self) -> dict[str, Any]:
        names = scored_queries(self.corpus, "test")
        found: dict[str, float] = {}
        for way, asked in (("clean", self.corpus), ("noisy", self.noisy)):
            queries = self.teacher.encode([asked.queries[name] for name in names], "query")
            found[way] = self._ranked(queries @ self.vectors.T)
        forms: dict[str, int] = {}
        for text in self.training:
            forms[text.kind] = forms.get(text.kind, 0) + 1
        return {
            "training_texts": forms,
            "test_queries": len(names),
            "documents": len(self.corpus.documents),
            "dimension": int(self.targets.shape[1]),
            "table": TABLE,
            "linear": LINEAR,
            "seed": self.seed,
            "teacher_ndcg10": found,
        }

    def row(self, variant: Variant, cpu_seconds: float) -> dict[str, Any]:
        """Train one variant and measure its quantized file."""
        tokenizer = self._tokenizer(variant)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "tokenizer.json").write_bytes(tokenizer)
            trainer, seconds = self._trained(variant, folder, cpu_seconds)
            save_student(folder / "student", trainer.student.shape, trainer.student.tensors)
            weights = fold_token_weights(read_weights(folder / "student"))
            tokens = Tokens(folder / "tokenizer.json", variant.student.max_length)
        graph = write_graph(weights, make_plan(TABLE, LINEAR))
        size = {"model": len(graph), "tokenizer": len(compact_tokenizer(tokenizer))}
        names = scored_queries(self.corpus, "test")
        clean = encode_ids(graph, tokens.ids([self.corpus.queries[name] for name in names]))
        changed = encode_ids(graph, tokens.ids([self.noisy.queries[name] for name in names]))
        own = encode_ids(graph, tokens.ids(list(self.corpus.documents.values())))
        return {
            "student": dataclasses.asdict(variant.student),
            "pieces": len(weights.tensors["embeddings.word_embeddings.weight"]),
            "start": variant.start,
            "noise": variant.noise,
            "bytes": size | {"shipped": sum(size.values())},
            "parameters": int(sum(tensor.size for tensor in weights.tensors.values())),
            "steps": trainer.steps,
            "cpu_seconds": round(seconds, 1),
            "validation_cosine": round(trainer.validation.measure(trainer.student)["validation_cosine"], 4),
            "ndcg10_asymmetric": self._ranked(clean @ self.documents.T),
            "ndcg10_symmetric": self._ranked(clean @ own.T),
            "ndcg10_asymmetric_noisy": self._ranked(changed @ self.documents.T),
        }

    def _ranked(self, scores: np.ndarray) -> float:
        return round(float(evaluate_scores(scores, self.corpus, "test").ndcg10.mean()), 4)

    def _tokenizer(self, variant: Variant) -> bytes:
        settings = VocabularySettings(candidates=(variant.pieces,), size=variant.pieces, max_table_bytes=10**9)
        documents = list(self.whole.documents.values())
        width = variant.student.table_rank or variant.student.hidden
        return make_vocabulary(documents, self.training, settings, width)[0]

    def _texts(self, variant: Variant, folder: Path) -> TokenizedTexts:
        draw = random.Random(f"{self.seed} noise")
        texts = [
            text
            if text.role == "document"
            else TrainingText(add_typing_noise(text.text, variant.noise, draw), "query", text.kind)
            for text in self.training
        ]
        lines = "".join(json.dumps(text.record()) + "\n" for text in texts)
        (folder / "training.jsonl").write_text(lines, encoding="utf-8")
        return tokenize(folder / "training.jsonl", folder / "tokenizer.json", variant.student.max_length)

    def _trained(self, variant: Variant, folder: Path, cpu_seconds: float) -> tuple[Trainer, float]:
        texts = self._texts(variant, folder)
        pieces = read_pieces(folder / "tokenizer.json")
        parameters = FlatParameters(shape_of(variant.student, len(pieces), self.targets.shape[1]))

        def trainer(steps: int) -> Trainer:
            settings = DistillSettings(steps=steps, shards=1, warmup_steps=min(100, steps // 10 + 1))
            return Trainer(settings, self.seed, parameters, texts, self.targets)

        # How many steps the time is enough for, so that the learning rate falls to zero at its end.
        pace = trainer(CALIBRATION_STEPS)
        self._start(variant, pace, texts, pieces)
        started = time.process_time()
        while pace.step < pace.steps:
            pace.train_step(NoProgress())
        steps = max(int(cpu_seconds / (time.process_time() - started) * CALIBRATION_STEPS), 1)
        made = trainer(steps)
        self._start(variant, made, texts, pieces)
        started = time.process_time()
        while made.step < made.steps:
            made.train_step(NoProgress())
        return made, time.process_time() - started

    def _start(self, variant: Variant, trainer: Trainer, texts: TokenizedTexts, pieces: list[str]) -> None:
        tensors = trainer.student.tensors
        rows = trainer.trained
        if variant.student.kind == "static":
            if variant.start == "composed":
                vectors = composed_token_vectors(self.teacher, pieces)
                vectors = vectors - vectors.mean(0)
            else:
                vectors = lone_piece_vectors(self.teacher, pieces, self.reduction)
            static_weights(tensors, vectors, texts, self.targets, rows)
        else:
            teacher_weights(tensors, trainer.student.shape, self.teacher, pieces, self.seed, texts, rows)
            fit_projection(trainer.student, texts, self.targets, rows)


def _part(whole: RetrievalSet, documents: int) -> RetrievalSet:
    if not documents or documents >= len(whole.documents):
        return whole
    renamed = dataclasses.replace(whole, qrels={"train": whole.qrels["test"]})
    part = training_subset(renamed, scored_queries(whole, "test"), documents)
    return dataclasses.replace(part, qrels={"test": part.qrels["train"]})


if __name__ == "__main__":
    main()
