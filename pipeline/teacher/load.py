"""Open the teacher that a recipe names."""

from ..settings import TeacherSettings
from .bi_encoder import LoadedTeacher
from .source import resolve_teacher


def load_teacher(settings: TeacherSettings) -> LoadedTeacher:
    """Resolve and load a teacher, or several as one; see `resolve_teacher` for the errors."""
    if settings.ensemble:
        from .ensemble import TeacherEnsemble

        return TeacherEnsemble(settings)
    return LoadedTeacher(resolve_teacher(settings), settings)
