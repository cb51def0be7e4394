"""Vectors that exist already as teacher."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ..precomputed.lookup import CorpusTexts, PrecomputedVectors
from ..settings import TeacherSettings
from .protocol import Precision, Role, TeacherIdentity, WithoutWeights


class PrecomputedTeacher(WithoutWeights):
    """Files of vectors, and which text each of their rows belongs to."""

    def __init__(self, settings: TeacherSettings, corpus: CorpusTexts) -> None:
        """Open the files; errors are those of `PrecomputedVectors`."""
        self._vectors = PrecomputedVectors(settings.vectors, corpus)
        self.dimension = self._vectors.dimension
        self.prompts: dict[Role, str] = {"query": "", "document": ""}
        sha256 = self._vectors.sha256
        if settings.sha256 not in ("", sha256):
            raise InputError(
                f"{settings.model}: the files of vectors have the hash {sha256}, and {settings.sha256} is expected; "
                "name the right files or fix teacher.sha256"
            )
        self.fingerprint = self._vectors.fingerprint
        self.files = TeacherIdentity(
            settings.model, settings.revision, sha256, self.fingerprint, {"weights": "unknown"}
        )

    @property
    def same_for_both_roles(self) -> bool:
        """False: queries and documents are looked up in files of their own."""
        return False

    @property
    def reading(self) -> dict[str, Any]:
        """What the files are, for the record."""
        return {
            "max_length": 0,
            "pooling": "the maker's",
            "modules": [],
            "precision": "the files'",
            "prompts": dict(self.prompts),
            "vectors": self._vectors.record(),
        }

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return zeros: no text is read."""
        return [0] * len(texts)

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]; raise `InputError` for a text without one."""
        return self._vectors.vectors(texts, role)
