"""The quantization of one trained student: measured, chosen where the recipe asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...export.bundle.assemble import describe
from ...export.bundle.tokenizer import compact_tokenizer
from ...export.check.parity import spread_texts
from ...export.graph.schemes import Plan, Scheme
from ...export.graph.weights import TransformerWeights
from ...export.graph.writer import write_graph
from ...export.quantization.encode_ids import encode_ids
from ...export.quantization.scheme_search import SchemePlan, choose_schemes, scheme_table
from ...export.quantization.sensitivity import (
    Ranking,
    Sensitivity,
    measure_sensitivity,
    sensitivity_table,
    write_sensitivity,
)
from ...runtime.errors import InputError
from ...runtime.files import read_bytes, write_bytes
from ...runtime.text.tokenizer_file import TextTokenizer
from ...runtime.units import parse_quantity
from ..corpus.output import CorpusOutput
from ..queries.output import QueriesOutput
from ..retrieval.dataset import RetrievalSet
from ..retrieval.metrics import evaluate_scores, scored_queries
from ..settings import QuantizeSettings
from ..stage import StageContext
from ..teacher.output import TeacherOutput
from ..vocabulary.output import VocabularyOutput
from .recipe_plan import recipe_plan

COSINE_TEXTS = 256
RANKED_QUERIES = 200
RANKED_DOCUMENTS = 800


@dataclass(frozen=True)
class ChosenPlan:
    """The plan of the shipped file, and the measurements that it rests on where there are any."""

    plan: Plan
    sensitivity: Sensitivity | None = None
    choice: SchemePlan | None = None

    def describe(self) -> str:
        """Say in words how the file is quantized."""
        if self.choice is None:
            return describe(self.plan)
        schemes = sorted(set(self.choice.tensors.values()))
        named = {scheme: [name for name, used in self.choice.tensors.items() if used == scheme] for scheme in schemes}
        return "; ".join(f"{scheme}: {', '.join(names)}" for scheme, names in named.items())

    def write_reports(self, folder: Path) -> None:
        """Write `sensitivity.json` and the tables as `quantization.md`."""
        if self.sensitivity is None:
            return
        write_sensitivity(folder / "sensitivity.json", self.sensitivity)
        measured = (
            f"Each tensor alone in each scheme, the rest in fp32; cosine on {self.sensitivity.texts} training texts"
        )
        measured += f", nDCG@10 on {self.sensitivity.ranking}." if self.sensitivity.ranking else "."
        parts = ["# Quantization of this student\n", measured + "\n", sensitivity_table(self.sensitivity)]
        if self.choice is not None:
            parts += [
                f"\n## Chosen for {self.choice.target:,} bytes of the ONNX file\n",
                "From half precision on, always the step that loses the least cosine per byte saved, until the file "
                "fits; then back, the costliest tensor first, where there is room. Losses of single tensors are added "
                f"up: {self.choice.predicted_cosine_loss:.6f} in all, {self.choice.bytes:,} bytes.\n",
                scheme_table(self.choice, self.sensitivity),
            ]
        write_bytes(folder / "quantization.md", "\n".join(parts).encode("utf-8"))


def choose_plan(context: StageContext, weights: TransformerWeights) -> ChosenPlan:
    """Return the plan of the shipped file: as the recipe says, or chosen to fit `quantize.target_bytes`.

    Everything is measured on training texts and training queries; nothing of the test set is looked at.
    """
    settings = context.recipe.quantize
    plan = recipe_plan(settings)
    if not (settings.sensitivity or settings.target_bytes):
        return ChosenPlan(plan)
    tokenizer_file = VocabularyOutput.of(context).tokenizer_file
    limit = min(context.recipe.student.max_length, weights.longest)
    texts = [text.text for text in QueriesOutput.of(context).training_texts()]
    tokens = TextTokenizer(tokenizer_file, limit)
    ranking, described = training_ranking(context, tokens)
    sensitivity = measure_sensitivity(
        weights, tokens.ids(spread_texts(texts[1:], COSINE_TEXTS)), context.progress, ranking, described
    )
    if not settings.target_bytes:
        return ChosenPlan(plan, sensitivity)
    tokenizer_bytes = len(compact_tokenizer(read_bytes(tokenizer_file)))
    target = target_bytes(settings) - tokenizer_bytes

    def size(plan: Plan) -> int:
        return len(write_graph(weights, plan))

    eight_bit_scheme: Scheme = "int7-exact" if settings.linear == "int7-exact" else "int7"
    choice = choose_schemes(sensitivity, target, size, settings.tensors, eight_bit_scheme)
    context.progress.note(
        f"  schemes chosen for {target:,} bytes (and {tokenizer_bytes:,} of the tokenizer): {choice.bytes:,} bytes, "
        + ", ".join(f"{tensor} {scheme}" for tensor, scheme in choice.tensors.items())
    )
    return ChosenPlan(choice.plan, sensitivity, choice)


def target_bytes(settings: QuantizeSettings) -> int:
    """Return the bytes that ONNX file and tokenizer may have together."""
    value = int(parse_quantity(settings.target_bytes, "B", "quantize.target_bytes"))
    if value <= 0:
        raise InputError(f"quantize.target_bytes = {settings.target_bytes!r} must be above 0; fix the recipe")
    return value


def training_ranking(context: StageContext, tokens: TextTokenizer) -> tuple[Ranking | None, str]:
    """Return the function that measures nDCG@10 on training queries, and in words what it measures.

    `None` where the corpus has no judged training queries.
    """
    corpus = CorpusOutput.of(context).retrieval_set()
    if not corpus.qrels.get("train"):
        return None, ""
    queries = spread_texts(scored_queries(corpus, "train"), RANKED_QUERIES)
    subset = training_subset(corpus, queries, RANKED_DOCUMENTS)
    query_ids = tokens.ids([subset.queries[name] for name in scored_queries(subset, "train")])
    document_ids = tokens.ids(list(subset.documents.values()))
    teacher = TeacherOutput.of(context)
    vectors = teacher.documents(len(corpus.documents))
    rows = {name: row for row, name in enumerate(corpus.documents)}
    projected = teacher.projection().apply(vectors[[rows[name] for name in subset.documents]])

    def ranking(graph: bytes) -> Mapping[str, float]:
        queries = encode_ids(graph, query_ids)
        sides = {"symmetric": encode_ids(graph, document_ids), "asymmetric": projected}
        figures = {mode: evaluate_scores(queries @ side.T, subset, "train").ndcg10 for mode, side in sides.items()}
        return {mode: float(np.mean(values)) for mode, values in figures.items()}

    return ranking, f"{len(query_ids)} training queries among {len(document_ids)} documents"


def training_subset(corpus: RetrievalSet, queries: list[str], count: int) -> RetrievalSet:
    """Return a small set: `queries` with their judged documents, filled up with others spread over the corpus."""
    judged = {query: corpus.judgements("train")[query] for query in queries}
    names = {name for grades in judged.values() for name in grades}
    others = [name for name in corpus.documents if name not in names]
    names |= set(spread_texts(others, max(count - len(names), 0)))
    documents = {name: text for name, text in corpus.documents.items() if name in names}
    return RetrievalSet(
        documents=documents,
        titles={name: title for name, title in corpus.titles.items() if name in names},
        queries={query: corpus.queries[query] for query in queries},
        qrels={"train": judged},
    )
