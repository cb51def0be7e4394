"""The stage `evaluate`: ranking quality of the file that is shipped, beside the teacher, BM25 and baselines.

Queries are always encoded by the bundle. Documents are encoded by the bundle too (symmetric), or by the teacher and
brought into the bundle's space by its projection (asymmetric).
"""

from dataclasses import replace

from ...runtime.encoder import Encoder
from ...runtime.files import write_json
from ...runtime.schema import to_mapping
from ..corpus.output import CorpusOutput
from ..distill.output import DistillOutput
from ..packaging.output import EvaluateOutput, ExportOutput, IndexOutput
from ..retrieval.metrics import evaluate_scores, scored_rows
from ..stage import StageContext
from ..teacher.output import TeacherOutput
from ..teacher.selection import selected_teacher
from .baselines import measure_baselines
from .bm25_weight import Bm25Weight, choose_bm25_weights
from .record import METHODS, per_query, summarize
from .systems import REFERENCE, SHIPPED, add_baselines, bundle_scores, indexed_documents, teacher_scores


def run_evaluate(context: StageContext) -> None:
    """Write `evaluation.json`, and `per_query.json` with nDCG@10 of every query for paired comparisons.

    Raises `InputError` when the teacher's vectors do not belong to the corpus.
    """
    settings = context.recipe.evaluate
    retrieval_set = CorpusOutput.of(context).retrieval_set()
    teacher, bundle, index = TeacherOutput.of(context), ExportOutput.of(context).bundle, IndexOutput.of(context).index
    output = EvaluateOutput(context.output)
    teacher_documents = teacher.documents(len(retrieval_set.documents))
    teacher_queries = scored_rows(teacher.queries(len(retrieval_set.queries)), retrieval_set, "test")
    projection = teacher.projection()
    scores = teacher_scores(teacher_queries, teacher_documents)
    for variant, suffix in ((SHIPPED, ""), (REFERENCE, "_fp32"))[: 2 if settings.reference else 1]:
        encoder = Encoder.open(bundle, variant)
        own = indexed_documents(index, encoder) if variant == SHIPPED else None
        stored = settings.stored_vectors and variant == SHIPPED
        found = bundle_scores(
            encoder, retrieval_set, "test", context.progress, projection, teacher_documents, own=own, stored=stored
        )
        scores.update({f"{name}{suffix}": matrix for name, matrix in found.items()})
    weights: dict[str, Bm25Weight] = {}
    if "hybrid" in settings.baselines:
        encoder = Encoder.open(bundle)
        documents = {
            "bundle": indexed_documents(index, encoder),
            "teacher": projection.apply(teacher_documents),
        }
        held_back = DistillOutput.of(context).held_back_queries()
        weights = choose_bm25_weights(retrieval_set, held_back, encoder, documents)
        for name, chosen in weights.items():
            context.progress.note(
                f"  BM25 counts {chosen.weight:g} times beside the {name}'s document vectors ({chosen.queries} queries)"
            )
    chosen_weights = {name: chosen.weight for name, chosen in weights.items()}
    add_baselines(scores, retrieval_set, "test", settings, chosen_weights)
    figures = {name: evaluate_scores(scores[name], retrieval_set, "test") for name in METHODS if name in scores}
    # Baselines do not depend on the student: what is measured of them outlives the stage's key.
    cache = context.scratch.parent / ".baselines"
    baselines = measure_baselines(
        settings.baselines,
        settings.model2vec,
        selected_teacher(context),
        retrieval_set,
        "test",
        cache,
        context.progress,
    )
    evaluation = summarize(
        figures, "test", len(retrieval_set.documents), settings.bootstrap, context.recipe.seed, baselines
    )
    evaluation = replace(evaluation, bm25_weight=weights)
    write_json(output.evaluation_file, to_mapping(evaluation))
    write_json(output.per_query_file, per_query(figures | {one.name: one.figures() for one in baselines}))
    for entry in (*evaluation.ndcg10.values(), *(one.ndcg10 for one in evaluation.baselines.values())):
        context.progress.note(f"  nDCG@10 {entry.value:.4f} [{entry.low:.4f}, {entry.high:.4f}]  {entry.method}")
