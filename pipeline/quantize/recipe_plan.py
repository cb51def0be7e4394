"""The quantization plan that a recipe asks for."""

from ...export.graph.schemes import Plan, Scheme, make_plan
from ...export.quantization.presets import PRESETS
from ...runtime.errors import InputError
from ..settings import QuantizeSettings


def linear_scheme(settings: QuantizeSettings) -> Scheme:
    """Return the scheme of linear layers: the recipe's own, else the preset's."""
    return PRESETS[settings.preset].linear if settings.linear == "auto" else settings.linear


def recipe_plan(settings: QuantizeSettings) -> Plan:
    """Return the plan of a recipe that names its schemes; ranges of static layers are not known yet."""
    return make_plan(settings.table, linear_scheme(settings), settings.tensors)


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
