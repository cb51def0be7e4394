"""What the stages need of a teacher, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ..training.accelerator import Device

if TYPE_CHECKING:
    from .bi_encoder import BiEncoder

Role = Literal["query", "document"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TeacherIdentity:
    """What a teacher is."""

    name: str  # as the recipe names it; of a local folder the last part only
    revision: str
    sha256: str  # of model.safetensors, or over all of them where there are several; of a server, of what it says
    fingerprint: str  # over every file that counts
    licences: dict[str, str]


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
    """A teacher of unit vectors: a bi-encoder, several, a graph, a server or vectors; `load_teacher` opens it."""

    @property
    def files(self) -> TeacherIdentity:
        """Name, hash and licences; of several, all of them together."""
        ...

    @property
    def first(self) -> "BiEncoder | None":
        """The bi-encoder of `teacher.model`, whose tokens, layers and graph later stages read; `None` without one."""
        ...

    @property
    def reading(self) -> dict[str, Any]:
        """How it reads a text, for the record: length, pooling, modules, prompts."""
        ...

    @property
    def parts(self) -> Sequence[dict[str, Any]]:
        """What each of several bi-encoders adds to the vector, in order; empty for a single one."""
        ...

    def compute_on(self, device: Device, /) -> None:
        """Compute on another device from now on; the fingerprint says so."""
        ...

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        ...


class WithoutWeights:
    """What a single teacher answers that computes elsewhere, or without PyTorch: base of such `EmbeddingTeacher`s."""

    prompts: dict[Role, str]
    first = None
    parts: Sequence[dict[str, Any]] = ()

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        return self.prompts["query"] == self.prompts["document"]

    def compute_on(self, device: Device) -> None:
        """Do nothing: where it computes is not ours to choose."""
