"""Several bi-encoder teachers as one.

Each teacher's unit vector is scaled by the square root of its share of the weights, and the vectors are put one behind
the other. The result has unit length again, and the dot product of two of them is the weighted mean of the teachers'
cosines. So everything that works with one teacher's vectors works with theirs: the reduction (PCA) takes the long
vector to the student's space, and documents that the teachers encoded enter it by the same matrix.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes
from ..settings import EnsembleMember, TeacherSettings
from .bi_encoder import LoadedTeacher, Precision, Role, reading_fingerprint
from .source import TeacherFiles, naming, resolve_teacher


class TeacherEnsemble(LoadedTeacher):
    """The teacher of a recipe and its `[[teacher.ensemble]]`; in all but its vectors, the first of them."""

    def __init__(self, settings: TeacherSettings) -> None:
        """Load all; raise `InputError` for a weight that is no positive number, and what one teacher raises."""
        every = [settings, *(_as_teacher(settings, member) for member in settings.ensemble)]
        found = resolve_several(settings)
        super().__init__(found[0], settings)
        self._first = LoadedTeacher(found[0], settings)
        self._others = []
        for number, (files, one) in enumerate(zip(found[1:], every[1:], strict=True)):
            with naming(f"teacher.ensemble[{number}]"):
                self._others.append(LoadedTeacher(files, one))
        self._scales = np.sqrt(shares(settings)).astype(np.float32)
        loaded = [self._first, *self._others]
        self.dimension = sum(teacher.dimension for teacher in loaded)
        self.files = combined_files(settings, found, [reading_fingerprint(teacher) for teacher in loaded])

    @property
    def first(self) -> LoadedTeacher:
        """The teacher of `teacher.model`."""
        return self._first

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document, with every teacher."""
        return all(teacher.same_for_both_roles for teacher in (self._first, *self._others))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What each teacher adds to the vector, in order."""
        return [
            {
                "id": teacher.files.name,
                "revision": teacher.files.revision,
                "sha256": teacher.files.sha256,
                "licences": teacher.files.licences,
                "dimension": teacher.dimension,
                "scale": round(float(scale), 6),
            }
            for teacher, scale in zip((self._first, *self._others), self._scales, strict=True)
        ]

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, sum of the dimensions]."""
        teachers = (self._first, *self._others)
        vectors = [
            scale * teacher.encode(texts, role, precision)
            for teacher, scale in zip(teachers, self._scales, strict=True)
        ]
        return np.concatenate(vectors, axis=1)


def shares(settings: TeacherSettings) -> np.ndarray:
    """Return each teacher's share of the score, float64 [teachers]; they sum to one."""
    weights = np.array([settings.weight, *(member.weight for member in settings.ensemble)])
    for number, weight in enumerate(weights):
        if not 0 < weight < float("inf"):
            key = "teacher.weight" if number == 0 else f"teacher.ensemble[{number - 1}].weight"
            raise InputError(f"{key} = {weight} must be a number above 0; fix the recipe")
    return weights / weights.sum()


def resolve_several(settings: TeacherSettings) -> list[TeacherFiles]:
    """Return the checked folders of all teachers of a recipe; see `resolve_teacher` for the errors."""
    found = [resolve_teacher(settings)]
    for number, member in enumerate(settings.ensemble):
        with naming(f"teacher.ensemble[{number}]"):
            found.append(resolve_teacher(_as_teacher(settings, member)))
    return found


def combined_files(settings: TeacherSettings, found: Sequence[TeacherFiles], readings: Sequence[str]) -> TeacherFiles:
    """Return one record for all: a name with the shares, one hash over the hashes, every licence."""
    parts = shares(settings)
    name = " + ".join(f"{part:.3g} {files.name}" for part, files in zip(parts, found, strict=True))
    licences = {f"{key} of {files.name}": licence for files in found for key, licence in files.licences.items()}
    lines = [f"{scale!r} {reading}" for scale, reading in zip(parts.tolist(), readings, strict=True)]
    return TeacherFiles(
        name,
        found[0].folder,
        " + ".join(files.revision or "-" for files in found) if any(files.revision for files in found) else "",
        combined_sha256(found),
        sha256_bytes("\n".join(lines).encode()),
        licences,
    )


def combined_sha256(found: Sequence[TeacherFiles]) -> str:
    """Return one hash over the hashes of all teachers' weights, in order."""
    return sha256_bytes("\n".join(files.sha256 for files in found).encode())


def _as_teacher(settings: TeacherSettings, member: EnsembleMember) -> TeacherSettings:
    return TeacherSettings(
        model=member.model,
        revision=member.revision,
        sha256=member.sha256,
        query_prompt=member.query_prompt,
        document_prompt=member.document_prompt,
        max_length=member.max_length,
        batch_tokens=settings.batch_tokens,
    )
