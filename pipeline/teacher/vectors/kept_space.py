"""The vector space of the last release, kept: its projection takes the place of a new one.

A student that is trained in that space ranks documents that the teacher encoded for an older release.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....runtime.errors import InputError
from ....runtime.files import read_toml
from ....runtime.manifest import Manifest, listed_file, read_manifest
from ...settings import TeacherSettings
from ..protocol import TeacherIdentity
from .pca import Reduction, read_reduction

_READING = ("document_prompt", "pooling")  # settings that decide where the teacher puts a document


@dataclass(frozen=True)
class KeptSpace:
    """The bundle that `teacher.space` names, and what it says about its space."""

    bundle: Path
    manifest: Manifest
    projection: Path  # its file, whose hash was checked

    def check_settings(self, settings: TeacherSettings) -> None:
        """Raise `InputError` when the recipe asks for another dimension, or lets the teacher read otherwise."""
        dimension = self.manifest.dimension
        if settings.dimension not in (0, dimension):
            raise InputError(
                f"teacher.dimension = {settings.dimension}, and the space of {self.bundle} has {dimension} dimensions; "
                f"set it to {dimension}, or take teacher.space out for a space of its own"
            )
        if settings.ensemble and settings.balance == "spread":
            raise InputError(
                f'teacher.balance = "spread" would weigh the teachers anew, and the space of {self.bundle} has their '
                "weights; copy teacher.weight, the weights of the ensemble and balance from its recipe.toml"
            )
        written = self._recipe_section()
        for name in _READING:
            old, new = written.get(name, ""), getattr(settings, name)
            if old != new:
                raise InputError(
                    f"teacher.{name} = {new!r}, and the space of {self.bundle} was made with {old!r}; make them the "
                    "same, or take teacher.space out for a space of its own"
                )

    def check_teacher(self, teacher: TeacherIdentity, dimension: int, parts: Sequence[Any]) -> None:
        """Raise `InputError` unless the `teacher`, of `dimension`, is the one whose vectors the projection takes."""
        entry = self.manifest.teacher
        if (entry.sha256, entry.dimension) != (teacher.sha256, dimension):
            raise InputError(
                f"teacher.space: {self.bundle} is in a space of {entry.id} ({entry.dimension} dimensions, SHA-256 "
                f"{entry.sha256[:12]}), and the teacher is {teacher.name} ({dimension} dimensions, SHA-256 "
                f"{teacher.sha256[:12]}); name that teacher, or take teacher.space out"
            )
        if parts and entry.id != teacher.name:  # one hash over all weights says nothing about their shares
            raise InputError(
                f"teacher.space: {self.bundle} is in a space of {entry.id}, and the teachers are {teacher.name}; copy "
                "the weights from its recipe.toml"
            )

    def reduction(self) -> Reduction:
        """Return how the space's projection reduces vectors."""
        return read_reduction(self.projection)

    def _recipe_section(self) -> dict[str, Any]:
        if "recipe.toml" not in self.manifest.files:
            return {}
        return read_toml(listed_file(self.bundle, self.manifest, "recipe.toml")).get("teacher", {})


def kept_space(settings: TeacherSettings) -> KeptSpace | None:
    """Return the space that a recipe keeps, none where it names none.

    Raises `InputError` for a folder that is no bundle or has no projection, `VerificationError` for a damaged one.
    """
    if not settings.space:
        return None
    bundle = Path(settings.space)
    manifest = read_manifest(bundle)
    name = manifest.pairing.projection
    if not name:
        raise InputError(f"teacher.space: {bundle} has no projection for teacher vectors; name another bundle")
    return KeptSpace(bundle, manifest, listed_file(bundle, manifest, name))
