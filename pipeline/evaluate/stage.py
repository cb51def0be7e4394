"""The stage `evaluate`: ranking quality of the file that is shipped, beside the teacher, BM25 and baselines.

Queries are always encoded by the bundle. Documents are encoded by the bundle too (symmetric), or by the teacher and
brought into the bundle's space by its projection (asymmetric).
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...export.bundle.assemble import DEFAULT, REFERENCE
from ...runtime.encoder import Encoder
from ...runtime.errors import UnavailableError
from ...runtime.files import write_json
from ...runtime.schema import to_mapping
from ...runtime.search.bm25 import collection_language
from ..corpus.output import CorpusOutput
from ..distill.output import DistillOutput
from ..packaging.output import EvaluateOutput, ExportOutput, IndexOutput
from ..retrieval.metrics import QualityFigures, scored_rows
from ..retrieval.system import BM25, TEACHER, DocumentEncoder, System
from ..settings import EvaluateSettings, Recipe
from ..stage import StageContext
from ..teacher.output import TeacherOutput
from ..teacher.selection import selected_teacher
from .baselines import BaselineTask, measure_baselines
from .bm25_weight import Bm25Weight, choose_bm25_weights
from .record import Evaluation, nothing_measured, per_query, summarize
from .systems import (
    JudgedSplit,
    Vectors,
    bundle_vectors,
    compared_systems,
    encode_documents,
    indexed_documents,
    measure_systems,
    with_indexable_words,
)

SPLIT = "test"


_PACKAGES = {
    "bm25": ("bm25s",),
    "fusion": ("bm25s",),
    "hybrid": ("bm25s",),
    "model2vec": ("model2vec", "skeletoken"),
    "teacher-int8": (),
}


def check_evaluate(recipe: Recipe) -> str:
    """Check before a run that the packages of the baselines are installed."""
    baselines = recipe.evaluate.baselines
    for baseline in baselines:
        missing = [name for name in _PACKAGES[baseline] if importlib.util.find_spec(name) is None]
        if missing:
            raise UnavailableError(
                f"evaluate.baselines: {baseline} needs {' and '.join(missing)}, not installed here; "
                f"run: pip install 'pocketrank[build]', or take {baseline} out"
            )
    return f"beside {', '.join(baselines)}" if baselines else "no baselines"


def run_evaluate(context: StageContext) -> None:
    """Write `evaluation.json`, and `per_query.json` with nDCG@10 of every query for paired comparisons.

    Of a corpus without test queries the first says why it has no figures. Raises `InputError` when the teacher's
    vectors do not belong to the corpus.
    """
    output, judged = EvaluateOutput(context.output), JudgedSplit(CorpusOutput.of(context).retrieval_set(), SPLIT)
    settings = with_indexable_words(context.recipe.evaluate, judged.documents, context.progress)
    documents = _document_vectors(context, len(judged.documents))
    weights = _bm25_weights(context, judged, documents) if "hybrid" in settings.baselines else {}
    if judged.retrieval_set.qrels.get(SPLIT):
        evaluation, figures = _measured(context, settings, judged, documents, weights)
    else:
        evaluation, figures = nothing_measured(SPLIT, len(judged.documents), "the corpus has no test queries"), {}
        context.progress.note(f"  ranking quality is not measured: {evaluation.not_measured}")
    write_json(output.evaluation_file, to_mapping(replace(evaluation, bm25_weight=weights)))
    write_json(output.per_query_file, per_query(figures))
    for entry in (*evaluation.ndcg10.values(), *(baseline.ndcg10 for baseline in evaluation.baselines.values())):
        context.progress.note(f"  nDCG@10 {entry.value:.4f} [{entry.low:.4f}, {entry.high:.4f}]  {entry.method}")


def _measured(
    context: StageContext,
    settings: EvaluateSettings,
    judged: JudgedSplit,
    documents: Mapping[DocumentEncoder, np.ndarray],
    weights: Mapping[str, Bm25Weight],
) -> tuple[Evaluation, dict[str, QualityFigures]]:
    """Return the evaluation of all systems and baselines, and their figures by query."""
    systems = compared_systems(_vectors(context, judged, documents), settings)
    figures = measure_systems(systems, judged, {name: chosen.weight for name, chosen in weights.items()})
    # Baselines do not depend on the student: what is measured of them outlives the stage's key.
    task = BaselineTask(selected_teacher(context), judged, context.scratch.parent / ".baselines", context.progress)
    baselines = measure_baselines(settings.baselines, settings.model2vec, task)
    language = collection_language(judged.documents) if BM25.key in figures else "en"
    evaluation = summarize(
        figures, SPLIT, len(judged.documents), settings.bootstrap, context.recipe.seed, baselines, language
    )
    return evaluation, figures | {baseline.name: baseline.figures() for baseline in baselines}


def _document_vectors(context: StageContext, count: int) -> dict[DocumentEncoder, np.ndarray]:
    """Return the vectors of all documents in the bundle's space, by who encoded them."""
    teacher, shipped = TeacherOutput.of(context), Encoder.open(ExportOutput.of(context).bundle, DEFAULT)
    projected = teacher.projection().apply(teacher.documents(count))
    return {"student": indexed_documents(IndexOutput.of(context).index, shipped), "teacher": projected}


def _vectors(
    context: StageContext, judged: JudgedSplit, documents: Mapping[DocumentEncoder, np.ndarray]
) -> dict[System, Vectors]:
    """Return the vectors of the teacher, of the shipped file and, where the recipe wants it, of the fp32 file."""
    teacher, bundle = TeacherOutput.of(context), ExportOutput.of(context).bundle
    queries = scored_rows(teacher.queries(len(judged.retrieval_set.queries)), judged.retrieval_set, SPLIT)
    vectors = {TEACHER: Vectors(queries, teacher.documents(len(judged.documents)))}
    vectors |= bundle_vectors(Encoder.open(bundle, DEFAULT), judged.texts, documents)
    if context.recipe.evaluate.reference:
        reference = Encoder.open(bundle, REFERENCE)
        own = encode_documents(reference, judged.documents, context.progress)
        vectors |= bundle_vectors(reference, judged.texts, {"student": own, "teacher": documents["teacher"]})
    return vectors


def _bm25_weights(
    context: StageContext, judged: JudgedSplit, documents: Mapping[DocumentEncoder, np.ndarray]
) -> dict[str, Bm25Weight]:
    weights = choose_bm25_weights(
        judged.retrieval_set,
        DistillOutput.of(context).held_back_queries(),
        Encoder.open(ExportOutput.of(context).bundle),
        {"bundle": documents["student"], "teacher": documents["teacher"]},
    )
    for name, chosen in weights.items():
        context.progress.note(
            f"  BM25 counts {chosen.weight:g} times beside the {name}'s document vectors ({chosen.queries} queries)"
        )
    return weights
