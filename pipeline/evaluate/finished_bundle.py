"""Quality of a finished bundle on any retrieval set, outside a run."""

from pathlib import Path

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.errors import InputError, UnavailableError
from ...runtime.files import read_toml, safe_join
from ...runtime.manifest import read_manifest
from ...runtime.progress import Progress
from ...runtime.projection import read_projection
from ...runtime.schema import from_mapping
from ..retrieval.dataset import read_retrieval_set
from ..retrieval.metrics import evaluate_scores, scored_queries
from ..settings import EvaluateSettings, Recipe, TeacherSettings
from ..teacher.selection import teacher_of_bundle
from ..teacher.vector_shards import cached_vectors
from .baselines import BaselineFigures, measure_baselines
from .record import METHODS, Evaluation, summarize
from .systems import add_baselines, bundle_scores, teacher_scores


def evaluate_bundle(
    bundle: Path,
    data: Path,
    progress: Progress,
    split: str = "test",
    with_teacher: bool = False,
    teacher: str = "",
    cache: Path | None = None,
    resamples: int = 1000,
    seed: int = 1,
    settings: EvaluateSettings | None = None,
) -> Evaluation:
    """Return the quality of the shipped file of a finished `bundle` on the retrieval set in the folder `data`.

    Without the teacher the documents are encoded by the bundle (`symmetric`); with it they are encoded by the
    teacher that the manifest names (`asymmetric`), and the teacher itself is measured too. `teacher` says where it
    is when not where the recipe found it; its weights must be those of the manifest. Its vectors, and the figures of
    baselines, are kept in `cache` when that is given. `settings` says what the bundle is compared with; BM25 and
    fusions are left out when `bm25s` is not installed.
    """
    settings = settings or EvaluateSettings()
    manifest = read_manifest(bundle)
    retrieval_set = read_retrieval_set(data)
    names = scored_queries(retrieval_set, split)
    if not names:
        raise InputError(f"{data}: no query of the split {split!r} has a relevant document; choose another split")
    encoder = Encoder.open(bundle)
    scores: dict[str, np.ndarray] = {}
    projection, documents = None, None
    if with_teacher:
        if not manifest.pairing.projection:
            raise InputError(f"{bundle} has no projection for teacher documents; use the documents of the student")
        projection = read_projection(safe_join(bundle, manifest.pairing.projection))
        large = teacher_settings(bundle, teacher, manifest.teacher.sha256)
        queries = [retrieval_set.queries[name] for name in names]
        documents = cached_vectors(large, list(retrieval_set.documents.values()), "document", cache, progress)
        scores |= teacher_scores(cached_vectors(large, queries, "query", cache, progress), documents)
    scores |= bundle_scores(
        encoder,
        retrieval_set,
        split,
        progress,
        projection,
        documents,
        symmetric=not with_teacher,
        stored=settings.stored_vectors,
    )
    try:
        add_baselines(scores, retrieval_set, split, settings, manifest.bm25_weight or {})
        for name, weight in (manifest.bm25_weight or {}).items():
            progress.note(f"  BM25 counts {weight:g} times beside the {name}'s document vectors, as the bundle says")
    except UnavailableError as error:
        progress.note(f"  {error}")
    baselines: list[BaselineFigures] = []
    if {"teacher-int8", "model2vec"} & set(settings.baselines):
        large = teacher_settings(bundle, teacher, manifest.teacher.sha256)
        baselines = measure_baselines(
            settings.baselines, settings.model2vec, large, retrieval_set, split, cache, progress
        )
    figures = {name: evaluate_scores(scores[name], retrieval_set, split) for name in METHODS if name in scores}
    return summarize(figures, split, len(retrieval_set.documents), resamples, seed, baselines)


def teacher_settings(bundle: Path, model: str, sha256: str) -> TeacherSettings:
    """Return the teacher section of the bundle's recipe, held to the weights that the manifest names."""
    recipe = from_mapping(Recipe, read_toml(safe_join(bundle, "recipe.toml")), str(bundle / "recipe.toml"))
    return teacher_of_bundle(recipe, model, sha256, str(bundle))
