"""The table of stages. It drives order, cache, resume, progress and the documentation."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .fingerprint import (
    corpus_fingerprint,
    cross_encoder_fingerprint,
    distill_fingerprint,
    gate_fingerprint,
    queries_fingerprint,
    teacher_fingerprint,
    vocabulary_fingerprint,
)
from .settings import Recipe
from .stage import StageContext


@dataclass(frozen=True)
class Stage:
    """A pure function from declared inputs to one output folder."""

    name: str
    function: str  # `module:function`, imported only when the stage runs
    inputs: tuple[str, ...]
    sections: tuple[str, ...]  # what it reads of the recipe
    purpose: str
    outside: Callable[[Recipe], Any] | None = None  # fingerprint of what it reads from outside the run's folder

    @property
    def module(self) -> str:
        """Full name of the stage's module."""
        return f"pocketrank.pipeline.{self.function.partition(':')[0]}"

    def load(self) -> Callable[[StageContext], None]:
        """Import the stage's function."""
        return getattr(importlib.import_module(self.module), self.function.partition(":")[2])


STAGES = (
    Stage(
        "corpus", "corpus:run_corpus", (), ("corpus", "seed"), "documents, queries and judgements", corpus_fingerprint
    ),
    Stage("queries", "queries:run_queries", ("corpus",), ("queries", "seed"), "training texts", queries_fingerprint),
    Stage(
        "vocabulary",
        "vocabulary:run_vocabulary",
        ("corpus", "queries"),
        ("vocabulary", "student", "seed"),
        "a vocabulary made for the corpus",
        vocabulary_fingerprint,
    ),
    Stage(
        "cross_encoder",
        "cross_encoder:run_cross_encoder",
        ("queries",),
        ("cross_encoder", "seed"),
        "the scores of a cross-encoder, or its dual-pooled form",
        cross_encoder_fingerprint,
    ),
    Stage(
        "teacher",
        "teacher:run_teacher",
        ("corpus", "queries", "cross_encoder"),
        ("teacher", "cross_encoder", "seed"),
        "the teacher's vectors and their reduction",
        teacher_fingerprint,
    ),
    Stage(
        "distill",
        "distill:run_distill",
        ("corpus", "queries", "vocabulary", "cross_encoder", "teacher"),
        ("student", "distill", "teacher", "cross_encoder", "seed"),
        "the trained student",
        distill_fingerprint,
    ),
    Stage(
        "export",
        "export_stage:run_export",
        ("corpus", "queries", "vocabulary", "cross_encoder", "teacher", "distill"),
        ("name", "teacher", "cross_encoder", "student", "quantize", "export", "seed"),
        "graphs, quantized variants, compact tokenizer, parity",
        teacher_fingerprint,
    ),
    Stage(
        "index",
        "index_stage:run_index",
        ("corpus", "export"),
        (),
        "the corpus, searchable with the shipped file",
    ),
    Stage(
        "evaluate",
        "evaluate:run_evaluate",
        ("corpus", "cross_encoder", "teacher", "distill", "export", "index"),
        ("evaluate", "seed"),
        "quality of the shipped file",
    ),
    Stage(
        "bundle",
        "export_stage:run_bundle",
        ("corpus", "teacher", "export", "evaluate"),
        # The resolved recipe travels into the bundle, so every key counts but those that only judge it.
        (
            *("name", "seed", "corpus", "queries", "vocabulary", "teacher", "cross_encoder", "student", "distill"),
            *("quantize", "export", "evaluate"),
        ),
        "the bundle with its manifest, recipe and card",
    ),
    Stage(
        "benchmark",
        "benchmark_stage:run_benchmark",
        ("corpus", "teacher", "export", "evaluate", "bundle"),
        ("benchmark",),
        "what the bundle costs on each device",
    ),
    Stage(
        "gate",
        "benchmark_stage:run_gate",
        # All inputs of the benchmark too: a broken limit on time is confirmed by one more run.
        ("corpus", "teacher", "export", "evaluate", "bundle", "benchmark"),
        ("gate", "benchmark"),
        "the verdict",
        gate_fingerprint,
    ),
)
