"""Stage `cross_encoder`: score lists of a ranker that reads query and document together.

For training queries it makes lists of documents, the best of BM25 and some at random, and the cross-encoder scores
them. With `use = ["embeddings"]` the cross-encoder is also turned into a dual-pooled one, whose folder takes the place
of the teacher. Without a cross-encoder the stage has nothing to do.
"""

from collections.abc import Iterator

import numpy as np

from ....runtime.errors import InputError
from ....runtime.files import write_json
from ...queries.output import QueriesOutput
from ...queries.training_texts import TrainingText
from ...retrieval.bm25 import bm25_rows
from ...retrieval.metrics import top_documents
from ...settings import CrossEncoderSettings, Recipe
from ...stage import StageContext
from ..load import check_dimension
from ..output import CrossEncoderOutput
from ..score_lists import ABSENT, ScoreLists, write_lists
from ..vectors.cluster import LOCAL
from ..vectors.files import read_shards
from ..vectors.shards import Encoded, Shard, cut_shards, encode_shards
from .dual_pooling import DualPooled, DualPoolingTrainer
from .model import SEPARATOR, CrossEncoder, load_cross_encoder

_SHARD_PAIRS = 512


def run_cross_encoder(context: StageContext) -> None:
    """Write `lists.npy`, `scores.npy`, `cross_encoder.json`, `speed.json` and, if asked for, `dual-teacher/`."""
    settings, output = context.recipe.cross_encoder, CrossEncoderOutput(context.output)
    if not settings.model:
        write_json(output.record_file, {"use": []})
        return
    context.progress.note("  loading the cross-encoder")
    model = load_cross_encoder(settings)
    texts = QueriesOutput.of(context).training_texts()
    rows = candidate_lists(texts, settings, context.recipe.seed)
    lists, encoded = score_lists(model, texts, rows, context)
    if "scores" in settings.use:
        write_lists(context.output, lists)
    scores = lists.scores[rows[:, 1:] != ABSENT]
    record = {
        "use": list(settings.use),
        "id": model.files.name,
        "revision": model.files.revision,
        "sha256": model.files.sha256,
        "licences": model.files.licences,
        "max_length": model.max_length,
        "lists": len(lists),
        "pairs": len(scores),
        "score_mean": round(float(scores.mean()), 4),
        "score_deviation": round(float(scores.std()), 4),
    }
    if "embeddings" in settings.use:
        pooled = DualPooled(model)
        trainer = DualPoolingTrainer(pooled, [text.text for text in texts], lists, settings, context.recipe.seed)
        record["dual_pooling"] = trainer.train(context.scratch / "dual-pooling.safetensors", context.progress)
        pooled.save(output.dual_teacher, _card(model))
    write_json(output.record_file, record)
    write_json(context.output / "speed.json", encoded.speed("pairs"))


def check_cross_encoder(recipe: Recipe) -> str:
    """Load the cross-encoder before a run, let it score one pair, and say what it is."""
    settings = recipe.cross_encoder
    if not settings.model:
        return "none"
    if settings.drawn_candidates > settings.candidates:
        raise InputError(
            f"cross_encoder.drawn_candidates = {settings.drawn_candidates} must be at most cross_encoder.candidates = "
            f"{settings.candidates}; fix the recipe"
        )
    model = load_cross_encoder(settings)
    model.encode([f"a query{SEPARATOR}a document"])
    if "embeddings" in settings.use:
        check_dimension(recipe.teacher, model.model.config.hidden_size)
    return f"{model.files.name} scores a pair"


def candidate_lists(texts: list[TrainingText], settings: CrossEncoderSettings, seed: int) -> np.ndarray:
    """Return the rows of queries and their documents, int32 [lists, 1 + candidates].

    Real queries (kind `query`) come first, then the generated ones at random; the documents are the training texts of
    that role. A query without words that BM25 knows gets documents at random only. Raises `InputError` when there is no
    query, or fewer than two documents.
    """
    documents = np.array([row for row, text in enumerate(texts) if text.role == "document"], np.int32)
    real = [row for row, text in enumerate(texts) if text.kind == "query"]
    generated = [row for row, text in enumerate(texts) if text.role == "query" and text.kind != "query"]
    rng = np.random.default_rng([seed, 17])
    queries = [*rng.permutation(real), *rng.permutation(generated)][: settings.queries]
    if not queries or len(documents) < 2:
        raise InputError(
            f"{len(queries)} queries and {len(documents)} documents among the training texts are too few for the "
            f"cross-encoder's lists; add texts, or take cross_encoder out of the recipe"
        )
    width = min(settings.candidates, len(documents))
    lists = np.full((len(queries), 1 + settings.candidates), ABSENT, np.int32)
    lists[:, 0] = queries
    ranked = bm25_rows([texts[row].text for row in documents], [texts[row].text for row in queries])
    for position, scores in enumerate(ranked):
        best = top_documents(scores[None, :], width - min(settings.drawn_candidates, width))[0]
        best = best[scores[best] > 0]
        rest = np.setdiff1d(np.arange(len(documents)), best)
        random = rng.choice(rest, width - len(best), replace=False)
        lists[position, 1 : 1 + width] = documents[np.concatenate([best, random])]
    return lists


def score_lists(
    model: CrossEncoder, texts: list[TrainingText], rows: np.ndarray, context: StageContext
) -> tuple[ScoreLists, Encoded]:
    """Return lists of the scores of all pairs divided by the temperature, and what the scoring took."""
    settings = context.recipe.cross_encoder
    present = rows[:, 1:] != ABSENT
    shards = context.scratch / "shards"
    shards.mkdir(parents=True, exist_ok=True)

    def pairs() -> Iterator[str]:
        for row in rows:
            for document in row[1:][row[1:] != ABSENT]:
                yield f"{texts[row[0]].text}{SEPARATOR}{texts[document].text}"

    def cut() -> Iterator[Shard]:
        return cut_shards(pairs(), "query", model.fingerprint, shards, _SHARD_PAIRS, settings.precision)

    workers = settings.workers if model.device == "cpu" else 1
    on = context.on if model.device == "cpu" else LOCAL
    paths, encoded = encode_shards(model, [cut], workers, context.progress, "cross-encoder", "pairs", on)
    scores = np.zeros(present.shape, np.float32)
    scores[present] = np.concatenate(list(read_shards(paths[0]))) / settings.temperature
    return ScoreLists(rows, scores), encoded


def _card(model: CrossEncoder) -> str:
    licence = model.files.licences.get("weights", "unknown")
    return (
        f"---\nlicense: {licence}\n---\n\nA dual-pooled form of the cross-encoder {model.files.name} (weights "
        f"{model.files.sha256}): it reads texts one by one and gives unit vectors.\n"
    )
