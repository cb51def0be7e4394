"""Stage bundle: the shipped files with manifest, recipe, model card and measured figures."""

from collections.abc import Mapping
from typing import Any

from ...export.bundle.assemble import DEFAULT, MOBILE, REFERENCE, describe, finish_bundle
from ...export.bundle.facts import BundleFacts
from ...export.graph.schemes import FP32
from ...runtime.files import read_json, write_json
from ...runtime.manifest import Figure, Prompts, TeacherEntry
from ..code_version import library_versions
from ..recipe import recipe_toml
from ..stage import StageContext
from ..teacher.output import TeacherOutput
from .output import BundleOutput, EvaluateOutput, ExportOutput
from .sources import data_sources, model_sources
from .variant_comparison import card_notes, fact_line, fact_rows, read_facts, with_quality


def run_bundle(context: StageContext) -> None:
    """Write the final `bundle/`: the candidate, the resolved recipe, the card and the manifest."""
    teacher = TeacherOutput.of(context).record()
    export, output = ExportOutput.of(context), BundleOutput(context.output)
    evaluation = read_json(EvaluateOutput.of(context).evaluation_file)
    candidate = export.bundle
    quantization = {REFERENCE: describe(FP32), DEFAULT: export.quantization()}
    if "ort" in context.recipe.export.formats:
        quantization[MOBILE] = f"{quantization[DEFAULT]}, in ORT format"
    variants = with_quality(read_facts(read_json(export.variants_file)), evaluation, DEFAULT)
    facts = BundleFacts(
        name=context.recipe.name,
        seed=context.recipe.seed,
        teacher=TeacherEntry(teacher["id"], teacher["sha256"], teacher["dimension"], teacher["revision"]),
        max_length=read_json(candidate / "tokenizer_config.json")["model_max_length"],
        quantization=quantization,
        licences=teacher["licences"],
        quality=quality_figures(evaluation),
        parity=parity_figures(export.parity()),
        prompts=Prompts(),
        bm25_weight={name: chosen["weight"] for name, chosen in evaluation["bm25_weight"].items()},
        notes=card_notes(variants),
        models=model_sources(context),
        data=data_sources(context),
        packages={name: version for name, version in library_versions().items() if name != "machine"},
    )
    write_json(output.variants_file, fact_rows(variants))
    for variant in variants:
        context.progress.note(fact_line(variant))
    finish_bundle(candidate, output.bundle, facts, recipe_toml(shipped_recipe(context, teacher)))


def shipped_recipe(context: StageContext, teacher: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe that travels along; teachers that were balanced by measurement have their measured weights."""
    written = dict(context.resolved_toml)
    if teacher.get("several") and context.recipe.teacher.balance == "spread":
        shares = [part["share"] for part in teacher["several"]]
        members = zip(written["teacher"]["ensemble"], shares[1:], strict=True)
        ensemble = [dict(member) | {"weight": share} for member, share in members]
        written["teacher"] = written["teacher"] | {"weight": shares[0], "ensemble": ensemble, "balance": "none"}
    return written


def quality_figures(evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """Return every number of `evaluation.json` that says how it was measured, by its path of keys."""
    figures: dict[str, Figure] = {}

    def walk(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            return
        number = value.get("value")
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            method, unit = str(value.get("method", "evaluation of the shipped file")), str(value.get("unit", ""))
            figures[name] = Figure(float(number), method, unit)
            return
        for key, item in value.items():
            if key != "baselines":  # what else could be shipped says nothing about this bundle
                walk(item, f"{name}_{key}" if name else str(key))

    walk(evaluation, "")
    return figures


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
