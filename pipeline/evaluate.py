"""The stage `evaluate`: ranking quality of the file that is shipped, beside the teacher, BM25 and rivals.

Queries are always encoded by the bundle. Documents are encoded by the bundle too (symmetric), or by the teacher and
brought into the bundle's space by its projection (asymmetric).
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..runtime.encoder import Encoder
from ..runtime.errors import InputError, UnavailableError
from ..runtime.files import inside, read_json, read_toml, sha256_bytes, write_bytes, write_json
from ..runtime.hybrid import WORDS_WEIGHT
from ..runtime.index import DocumentIndex
from ..runtime.manifest import read_manifest
from ..runtime.progress import Progress
from ..runtime.projection import Projection, read_projection
from ..runtime.schema import from_mapping, to_mapping
from .baselines import bm25_scores, fuse
from .beir import RetrievalSet, read_retrieval_set
from .chosen_teacher import bundle_teacher, chosen_teacher
from .evaluation import METHODS, Evaluation, per_query, summarise
from .fusion import fuse_as_device, fuse_by_rank
from .judged_pairs import HELD_BACK_NAME
from .metrics import evaluate_scores, scored_queries, scored_rows
from .rivals import RivalFigures, measure_rivals
from .settings import EvaluateSettings, Recipe, TeacherSettings
from .shards import encode_texts
from .stage import StageContext
from .stored_vectors import stored_scores
from .teacher_model import Precision, Role
from .words_weight import WordsWeight, choose_words_weights

SHIPPED = "model_quantized"
REFERENCE = "model"


def run_evaluate(context: StageContext) -> None:
    """Write `evaluation.json`, and `per_query.json` with nDCG@10 of every query for paired comparisons.

    Raises `InputError` when the teacher's vectors do not belong to the corpus.
    """
    settings = context.recipe.evaluate
    retrieval_set = read_retrieval_set(context.inputs["corpus"])
    teacher, bundle = context.inputs["teacher"], context.inputs["export"] / "bundle"
    teacher_documents = read_vectors(teacher / "documents.npy", len(retrieval_set.documents))
    teacher_queries = scored_rows(
        read_vectors(teacher / "queries.npy", len(retrieval_set.queries)), retrieval_set, "test"
    )
    projection = read_projection(teacher / "projection.safetensors")
    scores = teacher_scores(teacher_queries, teacher_documents)
    for variant, suffix in ((SHIPPED, ""), (REFERENCE, "_fp32"))[: 2 if settings.reference else 1]:
        encoder = Encoder.open(bundle, variant)
        own = indexed_documents(context.inputs["index"] / "index", encoder) if variant == SHIPPED else None
        stored = settings.stored_vectors and variant == SHIPPED
        found = bundle_scores(
            encoder, retrieval_set, "test", context.progress, projection, teacher_documents, own=own, stored=stored
        )
        scores.update({f"{name}{suffix}": matrix for name, matrix in found.items()})
    weights: dict[str, WordsWeight] = {}
    if "hybrid" in settings.baselines:
        encoder = Encoder.open(bundle)
        documents = {
            "bundle": indexed_documents(context.inputs["index"] / "index", encoder),
            "teacher": projection.apply(teacher_documents),
        }
        held_back = read_json(context.inputs["distill"] / HELD_BACK_NAME)["queries"]
        weights = choose_words_weights(retrieval_set, held_back, encoder, documents)
        for name, chosen in weights.items():
            context.progress.note(
                f"  BM25 counts {chosen.weight:g} times beside the {name}'s document vectors ({chosen.queries} queries)"
            )
    chosen_weights = {name: chosen.weight for name, chosen in weights.items()}
    add_baselines(scores, retrieval_set, "test", settings, chosen_weights)
    figures = {name: evaluate_scores(scores[name], retrieval_set, "test") for name in METHODS if name in scores}
    # Rivals do not depend on the student: what is measured of them outlives the stage's key.
    cache = context.work.parent / ".rivals"
    rivals = measure_rivals(
        settings.baselines,
        settings.model2vec,
        chosen_teacher(context),
        retrieval_set,
        "test",
        cache,
        context.progress,
    )
    evaluation = summarise(
        figures, "test", len(retrieval_set.documents), settings.bootstrap, context.recipe.seed, rivals
    )
    evaluation = replace(evaluation, words_weight=weights)
    write_json(context.output / "evaluation.json", to_mapping(evaluation))
    write_json(context.output / "per_query.json", per_query(figures | {one.name: one.figures() for one in rivals}))
    for entry in (*evaluation.ndcg10.values(), *(one.ndcg10 for one in evaluation.rivals.values())):
        context.progress.note(f"  nDCG@10 {entry.value:.4f} [{entry.low:.4f}, {entry.high:.4f}]  {entry.method}")


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
    rivals, are kept in `cache` when that is given. `settings` says what stands beside the bundle; BM25 and fusions are
    left out when `bm25s` is not installed.
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
        projection = read_projection(inside(bundle, manifest.pairing.projection))
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
        add_baselines(scores, retrieval_set, split, settings, manifest.words_weight or {})
        for name, weight in (manifest.words_weight or {}).items():
            progress.note(f"  BM25 counts {weight:g} times beside the {name}'s document vectors, as the bundle says")
    except UnavailableError as error:
        progress.note(f"  {error}")
    rivals: list[RivalFigures] = []
    if {"teacher-int8", "model2vec"} & set(settings.baselines):
        large = teacher_settings(bundle, teacher, manifest.teacher.sha256)
        rivals = measure_rivals(settings.baselines, settings.model2vec, large, retrieval_set, split, cache, progress)
    figures = {name: evaluate_scores(scores[name], retrieval_set, split) for name in METHODS if name in scores}
    return summarise(figures, split, len(retrieval_set.documents), resamples, seed, rivals)


def teacher_settings(bundle: Path, model: str, sha256: str) -> TeacherSettings:
    """Return the teacher section of the bundle's recipe, held to the weights that the manifest names."""
    recipe = from_mapping(Recipe, read_toml(inside(bundle, "recipe.toml")), str(bundle / "recipe.toml"))
    return bundle_teacher(recipe, model, sha256, str(bundle))


def cached_vectors(
    settings: TeacherSettings,
    texts: Sequence[str],
    role: Role,
    cache: Path | None,
    progress: Progress,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return the teacher's vectors of `texts`; from `cache` when they are there, else encoded and put there."""
    several = [repr((settings.weight, settings.further))] if settings.further else []
    reading = (settings.sha256, settings.query_prompt, settings.document_prompt, str(settings.max_length), *several)
    reading += () if precision == "fp32" else (precision,)
    parts = (*reading, role, *texts)
    key = sha256_bytes("\0".join(parts).encode("utf-8"))
    path = cache / f"{role}-{key[:32]}.npy" if cache else None
    if path and path.is_file():
        return read_vectors(path, len(texts))
    vectors = encode_texts(settings, texts, progress, role, precision)
    if path:
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    return vectors


def teacher_scores(query_vectors: np.ndarray, document_vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Return the teacher's scores [queries, documents] under its name."""
    return {"teacher": query_vectors @ document_vectors.T}


def bundle_scores(
    encoder: Encoder,
    retrieval_set: RetrievalSet,
    split: str,
    progress: Progress,
    projection: Projection | None = None,
    teacher_documents: np.ndarray | None = None,
    symmetric: bool = True,
    own: np.ndarray | None = None,
    stored: bool = False,
) -> dict[str, np.ndarray]:
    """Return the scores [scored queries of `split`, documents] of one file of a bundle.

    `symmetric` takes the bundle's own vectors of the documents, `own` where they are at hand, encoded now otherwise;
    with `stored` it is computed too as indexes of int8 and binary vectors do. `asymmetric` is there when the teacher's
    document vectors and the projection are given.
    """
    names = scored_queries(retrieval_set, split)
    queries = encoder.encode_queries([retrieval_set.queries[name] for name in names])
    scores: dict[str, np.ndarray] = {}
    if own is None and symmetric:
        # A graph without activations quantized on the fly computes the same in any batch, and faster.
        batch_tokens = 4096 if encoder.model_path.stem == REFERENCE else 0
        texts = list(retrieval_set.documents.values())
        own = encoder.encode_documents(texts, batch_tokens, progress)
    if own is not None:
        scores["symmetric"] = queries @ own.T
    if own is not None and stored:
        scores |= {f"symmetric_{name}": matrix for name, matrix in stored_scores(queries, own).items()}
    if projection is not None and teacher_documents is not None:
        scores["asymmetric"] = queries @ projection.apply(teacher_documents).T
    return scores


def indexed_documents(folder: Path, encoder: Encoder) -> np.ndarray:
    """Return the document vectors of an index that `encoder` made, float32 [documents, dimension]."""
    index = DocumentIndex.open(folder)
    index.check_encoder(encoder)
    return index.vectors


def add_baselines(
    scores: dict[str, np.ndarray],
    retrieval_set: RetrievalSet,
    split: str,
    settings: EvaluateSettings,
    words_weight: Mapping[str, float],
) -> None:
    """Add the score matrices of `settings.baselines` to those of the bundle and the teacher.

    `words_weight` is what BM25 counts in hybrid search, where that is not the default: as in the manifest.
    """
    if not {"bm25", "fusion", "hybrid"} & set(settings.baselines):
        return
    bm25 = bm25_scores(retrieval_set, split)
    if "bm25" in settings.baselines:
        scores["bm25"] = bm25
    if "fusion" in settings.baselines:
        for name in ("symmetric", "asymmetric", "teacher"):
            if name in scores:
                scores[f"fusion_{name}"] = fuse(scores[name], bm25)
    if "hybrid" in settings.baselines:
        for name, documents in (("symmetric", "bundle"), ("asymmetric", "teacher")):
            if name in scores:
                weight = words_weight.get(documents, WORDS_WEIGHT)
                scores[f"hybrid_{name}"] = fuse_as_device(scores[name], bm25, words_weight=weight)
        if "symmetric" in scores:
            scores["hybrid_ranks"] = fuse_by_rank(scores["symmetric"], bm25)


def read_vectors(path: Path, rows: int) -> np.ndarray:
    """Return the vectors of a `.npy` file; raise `InputError` unless it holds `rows` rows of finite numbers."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it again") from None
    except (ValueError, EOFError):
        raise InputError(f"{path} is no array of numbers; run the stage that writes it again") from None
    if vectors.ndim != 2 or len(vectors) != rows or not np.isfinite(vectors).all():
        raise InputError(f"{path} holds {vectors.shape}, not {rows} rows of vectors; run its stage again")
    return np.asarray(vectors, dtype=np.float32)
