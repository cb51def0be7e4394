"""What the stages need of a teacher, whatever it is made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from .bi_encoder import BiEncoder
    from .source import TeacherFiles

Role = Literal["query", "document"]
Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda", "mps"]


class Teacher(Protocol):
    """A model in memory, on one thread, that turns texts into rows of numbers.

    `BiEncoder` and `TeacherEnsemble` give unit vectors; `CrossEncoder` reads pairs and gives rows of one score.
    """

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a row besides the text and its neighbours."""
        ...

    def lengths(self, texts: Sequence[str], role: Role, /) -> list[int]:
        """Return how many tokens it reads of each text."""
        ...

    def encode(self, texts: Sequence[str], role: Role = ..., precision: Precision = "fp32", /) -> np.ndarray:
        """Return float32 [texts, dimension]; the same texts in one call give the same bytes.

        With `precision` = "bf16" the transformer computes in bfloat16. Raises `InputError` for rows that are not
        finite.
        """
        ...


class EmbeddingTeacher(Teacher, Protocol):
    """A teacher of unit vectors: one bi-encoder or several; `load_teacher` opens it."""

    @property
    def files(self) -> "TeacherFiles":
        """Name, hash and licences; of several, all of them together."""
        ...

    @property
    def first(self) -> "BiEncoder":
        """The bi-encoder of `teacher.model`, whose tokens, layers and graph later stages read."""
        ...

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What each of several bi-encoders adds to the vector, in order; empty for a single one."""
        ...

    def compute_on(self, device: Device, /) -> None:
        """Compute on another device from now on; the fingerprint says so."""
        ...

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        ...
