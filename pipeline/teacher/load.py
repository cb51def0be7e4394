"""Open the teacher that a recipe names."""

from ...runtime.errors import InputError
from ..settings import TeacherSettings
from .bi_encoder import BiEncoder
from .ensemble import TeacherEnsemble
from .protocol import EmbeddingTeacher
from .source import resolve_teacher


def load_teacher(settings: TeacherSettings) -> EmbeddingTeacher:
    """Resolve and load a teacher, or several as one; see `resolve_teacher` for the errors."""
    return TeacherEnsemble(settings) if settings.ensemble else BiEncoder(resolve_teacher(settings), settings)


def check_dimension(settings: TeacherSettings, own: int) -> None:
    """Raise `InputError` when the reduction would have more dimensions than the teacher's own vectors."""
    if settings.dimension > own:
        raise InputError(
            f"teacher.dimension = {settings.dimension} is more than the teacher's own {own}; lower it, or 0"
        )
