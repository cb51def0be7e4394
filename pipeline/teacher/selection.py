"""Which teacher a run's vectors come from: the recipe's, or the dual-pooled form of its cross-encoder."""

import dataclasses
import os
from pathlib import Path

from ...runtime.errors import InputError
from ..corpus.output import CorpusOutput
from ..precomputed.lookup import CorpusTexts, precomputed_vectors
from ..settings import Recipe, TeacherSettings
from ..stage import StageContext
from .ensemble import combined_sha256, for_each, with_shares
from .load import Surroundings, identify
from .output import DUAL_TEACHER, CrossEncoderOutput, TeacherOutput


def selected_teacher(context: StageContext) -> TeacherSettings:
    """Return the teacher's settings as the stages after `cross_encoder` use them.

    An ensemble has the weights that the stage `teacher` measured, once it has.
    """
    settings, cross_encoder = context.recipe.teacher, context.recipe.cross_encoder
    if TeacherOutput.stage in context.inputs and settings.ensemble:
        settings = with_shares(settings, TeacherOutput.of(context).record()["several"])
    if not cross_encoder.model or "embeddings" not in cross_encoder.use:
        return settings
    folder = CrossEncoderOutput.of(context).dual_teacher
    return dataclasses.replace(
        settings, model=str(folder), revision="", sha256="", query_prompt="", document_prompt="", max_length=0
    )


def surroundings(context: StageContext) -> Surroundings:
    """Return what teachers need of a stage's run.

    A server's answers are kept beside the stages, for what was paid for outlives a stage's key.
    """
    answers = Path(os.environ.get("POCKETRANK_VECTORS") or context.scratch.parent) / ".answers"
    return Surroundings(
        answers, lambda: CorpusTexts.of(CorpusOutput.of(context).retrieval_set(), context.recipe.corpus)
    )


def teacher_of_bundle(recipe: Recipe, model: str, sha256: str, bundle: str) -> TeacherSettings:
    """Return the settings of the teacher that a finished bundle was distilled from, held to its hash `sha256`.

    `model` names the teacher as `teacher.model` does, where the recipe's name no longer holds; several teachers are
    separated by commas, in the order of the recipe. Raises `InputError` when it is needed, or names other weights.
    """
    settings = recipe.teacher
    if precomputed_vectors(settings):
        raise InputError(
            f"{bundle} was distilled from vectors that existed already, and other texts have none; evaluate it with "
            "--documents student"
        )
    if recipe.cross_encoder.model and "embeddings" in recipe.cross_encoder.use:
        if not model:
            raise InputError(
                f"{bundle} was distilled from the dual-pooled form of a cross-encoder; "
                f"name its folder, {DUAL_TEACHER} of the run, with --teacher"
            )
        settings = dataclasses.replace(settings, sha256="", query_prompt="", document_prompt="", max_length=0)
    if not settings.ensemble:
        return dataclasses.replace(settings, sha256=sha256, **({"model": model} if model else {}))
    models = model.split(",") if model else [settings.model, *(member.model for member in settings.ensemble)]
    if len(models) != 1 + len(settings.ensemble):
        raise InputError(
            f"--teacher names {len(models)} teachers and {bundle} was distilled from {1 + len(settings.ensemble)}; "
            f"name all of them in order, with commas between"
        )
    members = tuple(
        dataclasses.replace(member, model=name) for member, name in zip(settings.ensemble, models[1:], strict=True)
    )
    settings = dataclasses.replace(settings, model=models[0], ensemble=members)
    combined = combined_sha256(for_each(settings, identify))
    if combined != sha256:
        raise InputError(f"the teachers have the hash {combined}, and {bundle} names {sha256}; name the right ones")
    return settings
