"""Stages `export` (graphs, tokenizer, parity, candidate folder) and `bundle` (the folder that is shipped)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..export.bundle import (
    DEFAULT,
    MOBILE,
    PROJECTION_NAME,
    REFERENCE,
    BundleFacts,
    assemble_candidate,
    describe,
    finish_bundle,
    opener_files,
)
from ..export.parity import Parity, compare, require_exact, spread_texts
from ..export.quantize import FP32, Plan
from ..export.sensitivity import SENSITIVITY_NAME, write_sensitivity
from ..export.static import fold_token_weights
from ..export.tokenizer import compact_tokenizer
from ..export.torch_folder import write_torch_folder
from ..export.weights import TransformerWeights, read_weights
from ..runtime.encoder import Encoder
from ..runtime.errors import InputError
from ..runtime.files import read_bytes, read_json, write_json
from ..runtime.manifest import Figure, Prompts, TeacherEntry
from .beir import RetrievalSet, read_retrieval_set
from .choose_plan import choose_plan
from .chosen_teacher import chosen_teacher
from .recipe import recipe_toml
from .stage import StageContext
from .teacher_graph import write_teacher
from .teacher_model import load_teacher
from .variants import VARIANTS_NAME, card_notes, fact_line, fact_rows, measure_variants, read_facts, with_quality

STUDENT = "student"
PARITY_TEXTS = 256
TEACHER_TEXTS = 8


def run_export(context: StageContext) -> None:
    """Write the candidate `bundle/`, and beside it `student/` for PyTorch, the graph of the teacher, `parity.json`."""
    student = context.inputs["distill"] / "student"
    weights = fold_token_weights(read_weights(student))
    projection = context.inputs["teacher"] / PROJECTION_NAME
    tokenizer, length = read_bytes(context.inputs["vocabulary"] / "tokenizer.json"), max_length(context, weights)
    corpus = read_retrieval_set(context.inputs["corpus"])
    texts = parity_texts(corpus)
    bundle = context.output / "bundle"
    chosen = choose_plan(context, weights)
    chosen.write_reports(context.output)
    write_json(context.output / "plan.json", {"description": chosen.describe()})
    context.progress.note("  writing graphs, tokenizer and golden vectors")
    assemble_candidate(
        bundle,
        weights,
        chosen.plan,
        tokenizer,
        projection if projection.exists() else None,
        length,
        texts,
        mobile="ort" in context.recipe.export.formats,
        graphs=engine_graphs(context, weights, tokenizer, chosen.plan),
    )
    files = opener_files(weights, compact_tokenizer(tokenizer), length)
    write_torch_folder(context.output / STUDENT, weights, tokenizer, files)
    if chosen.sensitivity is not None:  # travels along, so that `pocketrank inspect` can name measured costs
        write_sensitivity(bundle / SENSITIVITY_NAME, chosen.sensitivity)
    comparisons = compare_variants(bundle, student, texts, context)
    facts = measure_variants(bundle, texts)
    for fact in facts:
        context.progress.note(fact_line(fact))
    write_json(context.output / VARIANTS_NAME, fact_rows(facts))
    context.progress.note("  writing the teacher's graph")
    comparisons.append(export_teacher(context, corpus))
    write_json(context.output / "parity.json", [dataclasses.asdict(parity) for parity in comparisons])


def run_bundle(context: StageContext) -> None:
    """Write the final `bundle/`: the candidate, the resolved recipe, the card and the manifest."""
    teacher = read_json(context.inputs["teacher"] / "teacher.json")
    export = context.inputs["export"]
    evaluation = context.inputs["evaluate"] / "evaluation.json"
    candidate = export / "bundle"
    quantization = {REFERENCE: describe(FP32), DEFAULT: read_json(export / "plan.json")["description"]}
    if "ort" in context.recipe.export.formats:
        quantization[MOBILE] = f"{quantization[DEFAULT]}, in ORT format"
    variants = with_quality(read_facts(read_json(export / VARIANTS_NAME)), read_json(evaluation), DEFAULT)
    facts = BundleFacts(
        name=context.recipe.name,
        seed=context.recipe.seed,
        teacher=TeacherEntry(teacher["id"], teacher["sha256"], teacher["dimension"], teacher["revision"]),
        max_length=read_json(candidate / "tokenizer_config.json")["model_max_length"],
        quantization=quantization,
        licences=teacher["licences"],
        quality=quality_figures(read_json(evaluation)),
        parity=parity_figures(read_json(export / "parity.json")),
        prompts=Prompts(),
        words_weight={name: one["weight"] for name, one in read_json(evaluation)["words_weight"].items()},
        notes=card_notes(variants),
    )
    write_json(context.output / VARIANTS_NAME, fact_rows(variants))
    for variant in variants:
        context.progress.note(fact_line(variant))
    finish_bundle(candidate, context.output / "bundle", facts, recipe_toml(context.written))


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
    found = comparisons[1]
    context.progress.note(
        f"  parity on {found.texts} texts: fp32 graph within {comparisons[0].max_difference:.1e} of the student, "
        f"{DEFAULT} cosine {found.cosine_mean:.5f} on average, {found.cosine_min:.5f} at worst"
    )
    return comparisons


def student_vectors(folder: Path, ids: list[list[int]]) -> np.ndarray:
    """Return the trained student's unit vectors [n, d], computed by PyTorch one text at a time."""
    import torch

    from .student import load_student

    student = load_student(folder)
    with torch.no_grad():
        rows = [student.encode(torch.tensor([row]), torch.tensor([len(row)]))[0].numpy() for row in ids]
    return np.stack(rows)


def export_teacher(context: StageContext, corpus: RetrievalSet) -> Parity:
    """Write the teacher's graph and hold it against the vectors that the student was trained on."""
    teacher = load_teacher(chosen_teacher(context))
    if teacher.parts:
        context.progress.note(f"  of several teachers, the graph is that of the first: {teacher.first.files.name}")
    teacher = teacher.first
    folder = context.output / "teacher"
    writer = write_teacher(teacher, folder)
    limit = teacher.max_length or 512
    # `model_max_length` here is what the benchmark and other openers of this folder cut texts at.
    write_json(folder / "tokenizer_config.json", {"model_max_length": limit})
    prompts = Prompts(query=teacher.prompts["query"], document=teacher.prompts["document"])
    encoder = Encoder(folder, "model", folder / "model.onnx", limit, prompts, threads=1)
    vectors = np.load(context.inputs["teacher"] / "documents.npy", mmap_mode="r", allow_pickle=False)
    texts = list(corpus.documents.values())
    if len(vectors) != len(texts):
        raise InputError(f"{len(vectors)} teacher vectors for {len(texts)} documents; run the teacher stage again")
    rows = [index * len(texts) // TEACHER_TEXTS for index in range(min(TEACHER_TEXTS, len(texts)))]
    found = encoder.encode_documents([texts[row] for row in rows])
    own = np.asarray(vectors[rows])[:, : teacher.dimension]
    own = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)  # of several teachers, the first's part
    return compare(f"teacher by {writer}", found, "the teacher's own vectors", own)


def quality_figures(evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """Return every number of `evaluation.json` that says how it was measured, by its path of keys."""
    found: dict[str, Figure] = {}

    def walk(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            return
        number = value.get("value")
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            method, unit = str(value.get("method", "evaluation of the shipped file")), str(value.get("unit", ""))
            found[name] = Figure(float(number), method, unit)
            return
        for key, item in value.items():
            if key != "rivals":  # what else could be shipped says nothing about this bundle
                walk(item, f"{name}_{key}" if name else str(key))

    walk(evaluation, "")
    return found


def parity_figures(comparisons: list[dict[str, Any]]) -> dict[str, Figure]:
    """Return the parity figures of the manifest from the rows of `parity.json`."""
    rows = {row["name"]: row for row in comparisons}
    exact, shipped = rows[REFERENCE], rows[DEFAULT]

    def method(row: Mapping[str, Any]) -> str:
        return f"{row['name']} against {row['reference']}, {row['texts']} texts, one at a time"

    return {
        "cosine_min": Figure(shipped["cosine_min"], method(shipped)),
        "cosine_mean": Figure(shipped["cosine_mean"], method(shipped)),
        "score_change_max": Figure(shipped["score_change_max"], f"{method(shipped)}, all pairs"),
        "max_difference_fp32": Figure(exact["max_difference"], method(exact)),
    }
