"""Open the teacher that a recipe names."""

from pathlib import Path

from ...runtime.errors import InputError
from ..settings import TeacherSettings
from .bi_encoder import BiEncoder
from .endpoint.address import is_endpoint
from .endpoint.teacher import EndpointTeacher
from .ensemble import TeacherEnsemble
from .onnx_folder.files import graph_of
from .onnx_folder.teacher import OnnxTeacher
from .protocol import EmbeddingTeacher
from .source import resolve_teacher


def load_teacher(settings: TeacherSettings, answers: Path | None = None) -> EmbeddingTeacher:
    """Resolve and load a teacher, or several as one; see `resolve_teacher` and `EndpointTeacher` for the errors.

    A server's answers are kept in the folder `answers` where there is one.
    """
    outside = [member.model for member in settings.ensemble if is_endpoint(member.model)]
    if outside or (settings.ensemble and is_endpoint(settings.model)):
        raise InputError("teacher.ensemble: a server cannot be one of several teachers; name folders, or it alone")
    if is_endpoint(settings.model):
        return EndpointTeacher(settings, answers)
    if settings.ensemble:
        return TeacherEnsemble(settings)
    files = resolve_teacher(settings)
    return OnnxTeacher(files, settings) if graph_of(files.folder) else BiEncoder(files, settings)


def processes(settings: TeacherSettings) -> int:
    """Return how many processes encode, 0 for one a core: one for a server, which it asks by threads."""
    return 1 if is_endpoint(settings.model) else settings.workers


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
