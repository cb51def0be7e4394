"""Open the teacher that a recipe names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import InputError
from ..precomputed.lookup import CorpusTexts, is_precomputed
from ..settings import TeacherSettings
from .bi_encoder import BiEncoder
from .endpoint.address import is_endpoint
from .endpoint.teacher import EndpointTeacher
from .ensemble import TeacherEnsemble, for_each
from .onnx_folder.files import graph_of
from .onnx_folder.teacher import OnnxTeacher
from .precomputed import PrecomputedTeacher
from .protocol import EmbeddingTeacher, TeacherIdentity
from .source import resolve_teacher


@dataclass(frozen=True)
class Surroundings:
    """What teachers may need of the run that they teach in."""

    answers: Path | None = None  # folder that keeps a server's answers
    corpus: Callable[[], CorpusTexts] | None = None  # the texts that existing vectors belong to


def load_teacher(settings: TeacherSettings, near: Surroundings | None = None) -> EmbeddingTeacher:
    """Resolve and load a teacher, or several as one; errors are those of `resolve_teacher` and of each kind."""
    near = near or Surroundings()
    if settings.ensemble:
        return TeacherEnsemble(settings, for_each(settings, lambda member: load_teacher(member, near)))
    if is_endpoint(settings.model):
        return EndpointTeacher(settings, near.answers)
    if is_precomputed(settings.model):
        if near.corpus is None:
            raise InputError(f"{settings.model} has vectors of the texts of its own run alone, and makes no others")
        return PrecomputedTeacher(settings, near.corpus())
    files = resolve_teacher(settings)
    return OnnxTeacher(files, settings) if graph_of(files.folder) else BiEncoder(files, settings)


def without_files(model: str) -> str:
    """Return what kind of teacher without files of a model `teacher.model` names; nothing for one that has them."""
    return "a server" if is_endpoint(model) else "vectors that exist already" if is_precomputed(model) else ""


def processes(settings: TeacherSettings) -> int:
    """Return how many processes encode, 0 for one a core: one for servers, which threads ask, and for vectors."""
    models = [settings.model, *(member.model for member in settings.ensemble)]
    alone = all(map(without_files, models)) or any(map(is_endpoint, models))
    return 1 if alone else settings.workers


def members(teacher: EmbeddingTeacher) -> Sequence[EmbeddingTeacher]:
    """Return the teachers of an ensemble, or the one that there is."""
    return teacher.members if isinstance(teacher, TeacherEnsemble) else [teacher]


def servers(teacher: EmbeddingTeacher) -> list[EndpointTeacher]:
    """Return the servers that a teacher is, or has as members."""
    return [member for member in members(teacher) if isinstance(member, EndpointTeacher)]


def identify(settings: TeacherSettings) -> TeacherIdentity:
    """Return what each teacher of a recipe is, without loading weights; a server is asked."""
    return EndpointTeacher(settings).files if is_endpoint(settings.model) else resolve_teacher(settings)


def torch_weights(teacher: EmbeddingTeacher, wanted: str, instead: str) -> BiEncoder:
    """Return the bi-encoder whose weights `wanted` takes; raise `InputError` for a teacher without any."""
    if teacher.first is None:
        raise InputError(
            f"{wanted} takes the weights of the teacher, and {teacher.files.name} is not one of PyTorch's; {instead}"
        )
    return teacher.first


def check_dimension(settings: TeacherSettings, own: int) -> None:
    """Raise `InputError` when the reduction would have more dimensions than the teacher's own vectors."""
    if settings.dimension > own:
        raise InputError(
            f"teacher.dimension = {settings.dimension} is more than the teacher's own {own}; lower it, or 0"
        )
