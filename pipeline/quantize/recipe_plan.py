"""The quantization plan that a recipe asks for."""

from ...export.graph.schemes import Plan, make_plan
from ...export.quantization.rounding import graph_names
from ...runtime.errors import InputError
from ...runtime.schema import did_you_mean
from ..settings import QuantizeSettings, Recipe


def recipe_plan(settings: QuantizeSettings) -> Plan:
    """Return the plan of a recipe that names its schemes."""
    return make_plan(settings.table, settings.linear, settings.tensors)


def check_quantize(recipe: Recipe) -> str:
    """Check before a run that the tensors that the recipe names are those of the student."""
    settings = recipe.quantize
    known = sorted({name for name, _ in graph_names(recipe.student.layers).values()})
    for name in settings.tensors:
        if name not in known:
            raise InputError(f"quantize.tensors: the graph has no tensor {name!r}; {did_you_mean(name, known)}")
    if settings.target_bytes:
        return f"schemes are chosen for {settings.target_bytes}"
    plan = recipe_plan(settings)
    return f"table {plan.table}, layers {plan.linear}"


def trained_plan(settings: QuantizeSettings) -> Plan:
    """Return the plan that quantization-aware training rounds to.

    Raises `InputError` where the plan is chosen after training (`quantize.target_bytes`).
    """
    if settings.target_bytes:
        raise InputError(
            "distill.quantize_aware_steps needs to know the schemes before training, quantize.target_bytes chooses "
            "them after it; run once without quantize_aware_steps, then name the chosen schemes in quantize.tensors"
        )
    return recipe_plan(settings)
