"""Stages `export` (graphs, tokenizer, parity, candidate folder) and `bundle` (the folder that is shipped)."""

import dataclasses
from pathlib import Path

import numpy as np

from ...export.bundle.assemble import DEFAULT, REFERENCE, Candidate, assemble_candidate, opener_files
from ...export.bundle.sentence_transformers_folder import write_torch_folder
from ...export.bundle.tokenizer import compact_tokenizer
from ...export.check.parity import Parity, compare, require_exact, spread_texts
from ...export.graph.schemes import Plan
from ...export.graph.weights import TransformerWeights, fold_token_weights, read_weights
from ...export.quantization.sensitivity import SENSITIVITY_NAME, write_sensitivity
from ...runtime.encoder import Encoder
from ...runtime.errors import InputError
from ...runtime.files import read_bytes, write_json
from ..corpus.output import CorpusOutput
from ..distill.output import DistillOutput
from ..quantize.plan_choice import choose_plan
from ..quantize.recipe_plan import recipe_plan
from ..retrieval.dataset import RetrievalSet
from ..settings import Recipe
from ..stage import StageContext
from ..teacher.output import TeacherOutput
from ..vocabulary.output import VocabularyOutput
from .output import ExportOutput
from .variant_comparison import fact_line, fact_rows, measure_variants

PARITY_TEXTS = 256


def run_export(context: StageContext) -> None:
    """Write the candidate `bundle/`, and beside it `student/` for PyTorch and `parity.json`."""
    student = DistillOutput.of(context).student
    weights = fold_token_weights(read_weights(student))
    projection = TeacherOutput.of(context).projection_file
    output = ExportOutput(context.output)
    tokenizer, length = read_bytes(VocabularyOutput.of(context).tokenizer_file), max_length(context, weights)
    corpus = CorpusOutput.of(context).retrieval_set()
    texts = parity_texts(corpus)
    bundle = output.bundle
    chosen = choose_plan(context, weights)
    chosen.write_reports(context.output)
    write_json(output.plan_file, {"description": chosen.describe()})
    context.progress.note("  writing graphs, tokenizer and golden vectors")
    candidate = Candidate(
        weights,
        chosen.plan,
        tokenizer,
        length,
        projection if projection.exists() else None,
        ort_format="ort" in context.recipe.export.formats,
        graphs=engine_graphs(context, weights, tokenizer, chosen.plan),
    )
    assemble_candidate(bundle, candidate, texts)
    files = opener_files(weights, compact_tokenizer(tokenizer), length)
    write_torch_folder(output.student, weights, tokenizer, files)
    if chosen.sensitivity is not None:  # travels along, so that `pocketrank inspect` can name measured costs
        write_sensitivity(bundle / SENSITIVITY_NAME, chosen.sensitivity)
    comparisons = compare_variants(bundle, student, texts, context)
    facts = measure_variants(bundle, texts)
    for fact in facts:
        context.progress.note(fact_line(fact))
    write_json(output.variants_file, fact_rows(facts))
    write_json(output.parity_file, [dataclasses.asdict(parity) for parity in comparisons])


def check_export(recipe: Recipe) -> str:
    """Check before a run that the engine is here and writes what the recipe asks for."""
    engine = recipe.export.engine
    if engine == "optimum":
        from .optimum_engine import check_optimum

        if recipe.quantize.target_bytes:
            raise InputError(
                "quantize.target_bytes gives every tensor a scheme, which export.engine = 'optimum' cannot write; "
                "take it out or use export.engine = 'pocketrank'"
            )
        check_optimum(recipe.student.kind == "static", recipe_plan(recipe.quantize))
    return f"engine {engine}"


def engine_graphs(
    context: StageContext, weights: TransformerWeights, tokenizer: bytes, plan: Plan
) -> dict[str, bytes] | None:
    """Return the graphs of the engine that the recipe names, or `None` for our own writer."""
    if context.recipe.export.engine == "pocketrank":
        return None
    from .optimum_engine import optimum_graphs

    context.progress.note("  tracing and quantizing with optimum")
    return optimum_graphs(weights, tokenizer, max_length(context, weights), plan)


def max_length(context: StageContext, weights: TransformerWeights) -> int:
    """Return the longest text in tokens: what the recipe asks for, at most what the student has positions for."""
    return min(context.recipe.student.max_length, weights.longest)


def parity_texts(corpus: RetrievalSet, count: int = PARITY_TEXTS) -> list[str]:
    """Return queries and documents in equal parts, spread over the corpus."""
    queries = spread_texts(list(corpus.queries.values()), count // 2)
    return [*queries, *spread_texts(list(corpus.documents.values()), count - len(queries))]


def compare_variants(bundle: Path, student: Path, texts: list[str], context: StageContext) -> list[Parity]:
    """Hold the fp32 graph against the trained model, and the shipped one against the fp32 graph, text by text."""
    reference = Encoder.open(bundle, REFERENCE)
    shipped = Encoder.open(bundle, DEFAULT)
    trained = student_vectors(student, [reference.tokenize(text) for text in texts])
    exact = reference.encode(texts, batch_tokens=0)
    comparisons = [compare(REFERENCE, exact, "the trained student", trained)]
    require_exact(comparisons[0])
    comparisons.append(compare(DEFAULT, shipped.encode(texts, batch_tokens=0), REFERENCE, exact))
    comparisons.append(compare(f"{DEFAULT} in batches", shipped.encode(texts, batch_tokens=1024), REFERENCE, exact))
    parity = comparisons[1]
    context.progress.note(
        f"  parity on {parity.texts} texts: fp32 graph within {comparisons[0].max_difference:.1e} of the student, "
        f"{DEFAULT} cosine {parity.cosine_mean:.5f} on average, {parity.cosine_min:.5f} at worst"
    )
    return comparisons


def student_vectors(folder: Path, ids: list[list[int]]) -> np.ndarray:
    """Return the trained student's unit vectors [n, d], computed by PyTorch one text at a time."""
    import torch

    from ..student.model import load_student

    student = load_student(folder)
    with torch.no_grad():
        rows = [student.encode(torch.tensor([row]), torch.tensor([len(row)]))[0].numpy() for row in ids]
    return np.stack(rows)
