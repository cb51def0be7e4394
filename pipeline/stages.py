"""The table of stages. It drives order, cache, resume, progress and the documentation.

A module of a stage imports torch inside its functions only, so that reading this table stays fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .benchmark_stage import run_benchmark, run_gate
from .corpus.stage import run_corpus
from .distill.stage import run_distill
from .evaluate.stage import run_evaluate
from .fingerprint import (
    corpus_fingerprint,
    cross_encoder_fingerprint,
    distill_fingerprint,
    gate_fingerprint,
    passages_fingerprint,
    queries_fingerprint,
    teacher_fingerprint,
    vocabulary_fingerprint,
)
from .packaging.bundle_stage import run_bundle
from .packaging.index_stage import run_index
from .packaging.stage import run_export
from .passages.stage import run_passages
from .queries.stage import run_queries
from .settings import Recipe
from .stage import StageContext
from .teacher.cross_encoder.stage import run_cross_encoder
from .teacher.stage import run_teacher
from .vocabulary.stage import run_vocabulary


@dataclass(frozen=True)
class Stage:
    """A pure function from declared inputs to one output folder."""

    name: str
    run: Callable[[StageContext], None]
    inputs: tuple[str, ...]
    sections: tuple[str, ...]  # what it reads of the recipe
    purpose: str
    external_inputs: Callable[[Recipe], Any] | None = None  # fingerprint of what it reads from outside the run's folder

    @property
    def module(self) -> str:
        """Full name of the stage's module."""
        return self.run.__module__


STAGES = (
    Stage("corpus", run_corpus, (), ("corpus", "seed"), "documents, queries and judgements", corpus_fingerprint),
    Stage("queries", run_queries, ("corpus",), ("queries", "seed"), "training texts", queries_fingerprint),
    Stage(
        "vocabulary",
        run_vocabulary,
        ("corpus", "queries"),
        ("vocabulary", "student", "seed"),
        "a vocabulary made for the corpus",
        vocabulary_fingerprint,
    ),
    Stage(
        "cross_encoder",
        run_cross_encoder,
        ("queries",),
        ("cross_encoder", "seed"),
        "the scores of a cross-encoder, or its dual-pooled form",
        cross_encoder_fingerprint,
    ),
    Stage(
        "teacher",
        run_teacher,
        ("corpus", "queries", "cross_encoder"),
        ("teacher", "cross_encoder", "seed"),
        "the teacher's vectors and their reduction",
        teacher_fingerprint,
    ),
    Stage(
        "passages",
        run_passages,
        ("corpus", "queries", "vocabulary", "cross_encoder", "teacher"),
        ("queries", "student", "teacher", "cross_encoder", "seed"),
        "how much of the documents is read; passages of long ones, with the teacher's vectors",
        passages_fingerprint,
    ),
    Stage(
        "distill",
        run_distill,
        ("corpus", "queries", "vocabulary", "cross_encoder", "teacher", "passages"),
        ("student", "distill", "teacher", "cross_encoder", "seed"),
        "the trained student",
        distill_fingerprint,
    ),
    Stage(
        "export",
        run_export,
        ("corpus", "queries", "vocabulary", "cross_encoder", "teacher", "distill"),
        ("name", "teacher", "cross_encoder", "student", "quantize", "export", "seed"),
        "graphs, quantized variants, compact tokenizer, parity",
        teacher_fingerprint,
    ),
    Stage(
        "index",
        run_index,
        ("corpus", "export"),
        (),
        "the corpus, searchable with the shipped file",
    ),
    Stage(
        "evaluate",
        run_evaluate,
        ("corpus", "cross_encoder", "teacher", "distill", "export", "index"),
        ("evaluate", "seed"),
        "quality of the shipped file",
    ),
    Stage(
        "bundle",
        run_bundle,
        ("corpus", "cross_encoder", "teacher", "distill", "export", "evaluate"),
        # The resolved recipe travels into the bundle, so every key counts but those that only judge it.
        (
            *("name", "seed", "corpus", "queries", "vocabulary", "teacher", "cross_encoder", "student", "distill"),
            *("quantize", "export", "evaluate"),
        ),
        "the bundle with its manifest, recipe, card and bill of materials",
    ),
    Stage(
        "benchmark",
        run_benchmark,
        ("corpus", "cross_encoder", "teacher", "passages", "distill", "evaluate", "bundle"),
        ("benchmark", "teacher", "cross_encoder"),
        "what the bundle and the teacher cost on each device",
        teacher_fingerprint,
    ),
    Stage(
        "gate",
        run_gate,
        # All inputs of the benchmark too: a broken limit on time is confirmed by one more run.
        ("corpus", "teacher", "passages", "evaluate", "bundle", "benchmark"),
        ("gate", "benchmark"),
        "the verdict",
        gate_fingerprint,
    ),
)
