"""Quality of a finished bundle on any retrieval set, outside a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.errors import InputError, UnavailableError
from ...runtime.extras import require
from ...runtime.files import read_toml
from ...runtime.manifest import Manifest, listed_file, read_manifest
from ...runtime.packaged import bundle_path
from ...runtime.progress import NoProgress, Progress
from ...runtime.projection import bundle_projection
from ...runtime.schema import from_mapping
from ...runtime.search.bm25 import collection_language, load_library
from ...runtime.text.unknown_words import unknown_warning
from ..retrieval.dataset import read_retrieval_set
from ..retrieval.system import BM25, TEACHER, DocumentEncoder, System
from ..settings import EvaluateSettings, Recipe, TeacherSettings
from ..teacher.bi_encoder import Role
from ..teacher.selection import teacher_of_bundle
from ..teacher.vectors.shards import cached_vectors
from .baselines import BaselineTask, measure_baselines
from .record import Evaluation, summarize
from .systems import JudgedSplit, Vectors, bundle_vectors, compared_systems, encode_documents, measure_systems


@dataclass(frozen=True)
class EvaluationOptions:
    """How a finished bundle is evaluated."""

    split: str = "test"  # which judgements, qrels/<split>.tsv
    documents: DocumentEncoder = "student"  # who encodes them: the bundle (symmetric), or its teacher (asymmetric)
    teacher: str = ""  # where the teacher is, when not where the recipe found it; its weights are the manifest's
    cache: str | Path | None = None  # folder that keeps the teacher's vectors and the figures of baselines
    seed: int = 1  # of the resampling
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)  # compared systems, resamples


class BundleOnSet:
    """A finished bundle and the retrieval set that it is measured on. Documents are encoded once, when needed."""

    def __init__(self, bundle: str | Path, data: str | Path, options: EvaluationOptions, progress: Progress) -> None:
        """Open `bundle` and read the set in the folder `data`; errors are those of `evaluate_bundle`."""
        self.bundle = bundle_path(str(bundle))
        self.manifest: Manifest = read_manifest(self.bundle)
        retrieval_set = read_retrieval_set(Path(data), (options.split,))
        for remark in retrieval_set.remarks:
            progress.note(f"  {remark}")
        self.judged = JudgedSplit(retrieval_set, options.split)
        if not self.judged.queries:
            raise InputError(
                f"{data}: no query of the split {options.split!r} has a relevant document; choose another split"
            )
        self._projection = bundle_projection(self.bundle) if options.documents == "teacher" else None
        self.encoder = Encoder.open(self.bundle)
        self.cache = Path(options.cache) if options.cache else None
        self._options, self._progress = options, progress

    @cached_property
    def teacher(self) -> TeacherSettings:
        """The teacher section of the bundle's recipe, held to the weights that the manifest names."""
        require("the teacher", "torch", "transformers", "sentence_transformers")
        path = listed_file(self.bundle, self.manifest, "recipe.toml")
        # The rest of a recipe is of no use here, and another version's may have other keys.
        known = {key: value for key, value in read_toml(path).items() if key in ("name", "teacher", "cross_encoder")}
        recipe = from_mapping(Recipe, known, str(path))
        return teacher_of_bundle(recipe, self._options.teacher, self.manifest.teacher.sha256, str(self.bundle))

    def vectors(self, texts: Sequence[str]) -> dict[System, Vectors]:
        """Return what ranks for the queries `texts`: the bundle and, where it encodes the documents, the teacher."""
        if self._projection is None:
            return bundle_vectors(self.encoder, texts, {"student": self._document_vectors})
        teacher = Vectors(self._teacher_vectors(texts, "query"), self._document_vectors)
        projected = self._projection.apply(teacher.documents)
        return {TEACHER: teacher, **bundle_vectors(self.encoder, texts, {"teacher": projected})}

    @cached_property
    def _document_vectors(self) -> np.ndarray:
        if self._projection is None:
            return encode_documents(self.encoder, self.judged.documents, self._progress)
        return self._teacher_vectors(self.judged.documents, "document")

    def _teacher_vectors(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return cached_vectors(self.teacher, list(texts), role, self.cache, self._progress)


def evaluate_bundle(
    bundle: str | Path,
    data: str | Path,
    options: EvaluationOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the ranking quality of the shipped file of a finished bundle on a retrieval set.

    `bundle` is a folder, or `general-english` for the one that comes with the package. `data` is a folder in BEIR
    layout: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`. With `options.documents` "student" the bundle
    encodes the documents (symmetric); with "teacher" its teacher does, their vectors enter the bundle's space through
    its projection (asymmetric), and the teacher itself is measured too. `options.settings` says what else is
    compared; BM25 and all that takes it in are left out, with a note, when `bm25s` is not installed.

    Of the result, `ndcg10`, `mrr10` and `recall100` map a system to its mean over the judged queries, a share between 0
    and 1 with its bootstrap interval; `ndcg10_retention` is the share of the teacher's nDCG@10.

    Raises `InputError` for a folder that is no bundle or no retrieval set, a split without judgements, a bundle without
    what the options ask for, or a teacher with other weights, and `UnavailableError` when a library is missing.

    >>> from pocketrank.pipeline.evaluate import evaluate_bundle
    >>> evaluation = evaluate_bundle("bundle", "data")
    >>> evaluation.queries, evaluation.documents, round(evaluation.ndcg10["symmetric"].value, 3)
    (8, 150, 1.0)
    """
    options, progress = options or EvaluationOptions(), progress or NoProgress()
    on_set = BundleOnSet(bundle, data, options, progress)
    judged, settings = on_set.judged, options.settings
    texts = [*judged.texts, *judged.documents]
    if warning := unknown_warning(on_set.encoder, texts, len(texts), f"{data}"):
        progress.note(f"  {warning}")
    weights = on_set.manifest.bm25_weight or {}
    systems = compared_systems(on_set.vectors(judged.texts), settings)
    if any(system.bm25 for system in systems):
        try:
            load_library()
        except UnavailableError as error:
            progress.note(f"  {error}")
            systems = {system: vectors for system, vectors in systems.items() if not system.bm25}
        else:
            for name, weight in weights.items():
                progress.note(
                    f"  BM25 counts {weight:g} times beside the {name}'s document vectors, as the bundle says"
                )
    figures = measure_systems(systems, judged, weights)
    expensive = [kind for kind in settings.baselines if kind in ("teacher-int8", "model2vec")]
    baselines = []
    if expensive:
        task = BaselineTask(on_set.teacher, judged, on_set.cache, progress)
        baselines = measure_baselines(expensive, settings.model2vec, task)
    language = collection_language(judged.documents) if BM25.key in figures else "en"
    return summarize(
        figures, options.split, len(judged.documents), settings.bootstrap, options.seed, baselines, language
    )
