"""What training needs of a recipe, checked before a run; each check says what it found, or raises `InputError`."""

from ...runtime.errors import InputError
from ..losses.batch import LIST_LOSSES
from ..losses.weighted import WeightedLosses
from ..quantize.recipe_plan import trained_plan
from ..settings import Recipe
from ..student.model import shape_of
from ..student.pretrained import general_folder, read_general
from .batches import texts_beside_lists
from .trainer import check_settings


def check_distill(recipe: Recipe) -> str:
    """Check that the losses are known and have what they need, and that batches can be filled."""
    settings, cross_encoder = recipe.distill, recipe.cross_encoder
    check_settings(settings)
    losses = WeightedLosses(settings.losses)
    scored = bool(cross_encoder.model) and "scores" in cross_encoder.use
    if losses.read_scores and not scored:
        raise InputError(
            "distill.losses names a loss of a cross-encoder's scores, and there is no cross-encoder; set "
            'cross_encoder.model and cross_encoder.use = ["scores"], or take the loss out'
        )
    if scored and not losses.read_scores:
        raise InputError(
            f'cross_encoder.use has "scores", but distill.losses names no list loss; '
            f"add one of {', '.join(sorted(LIST_LOSSES))} with a weight, such as list_kl = 0.5"
        )
    if scored:
        texts_beside_lists(settings, 1 + cross_encoder.candidates)
    if settings.quantize_aware_steps:
        trained_plan(recipe.quantize)
    return f"losses {', '.join(sorted(name for name, weight in settings.losses.items() if weight))}"


def check_student(recipe: Recipe) -> str:
    """Check that the numbers of the student fit together, and that what it starts from is there."""
    settings = recipe.student
    shape_of(settings, 1, recipe.teacher.dimension or settings.hidden)
    if settings.kind == "static":
        return f"static, {settings.hidden} wide"
    if settings.initialise in ("general", "auto"):
        return f"starts from {general_folder(settings)}"
    return f"{settings.layers} x {settings.hidden}, first weights: {settings.initialise}"


def check_start(recipe: Recipe) -> str:
    """Open the general student where one is needed."""
    if recipe.student.kind == "static" or recipe.student.initialise not in ("general", "auto"):
        return "no general student is needed"
    table = read_general(general_folder(recipe.student)).table
    return f"general student of {table.shape[0]:,} tokens opens"
