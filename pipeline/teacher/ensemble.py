"""Several teachers as one: bi-encoders, ONNX folders, servers, vectors that exist already.

Each teacher's unit vector is scaled by the square root of its share of the weights, and the vectors are concatenated.
The result has unit length again, and the dot product of two of them is the weighted mean of the teachers' cosines. The
cosines of some teachers lie in a narrow band (those of E5 between 0.7 and 0.9) and would hardly count. So a weight is
divided by the spread of that teacher's cosines between queries and documents of the corpus; this makes the score a sum
of z-scores, but for their means, which change no ranking.

So everything that works with one teacher's vectors works with theirs: the reduction (PCA) takes the long vector to the
student's space, and documents that the teachers encoded enter it by the same matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ...export.check.parity import spread_texts
from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes
from ..queries.training_texts import TrainingText
from ..settings import EnsembleMember, TeacherSettings
from ..training.accelerator import Device
from .bi_encoder import BiEncoder
from .protocol import EmbeddingTeacher, Precision, Role, TeacherIdentity
from .source import naming

Result = TypeVar("Result")

_KINDS = ("endpoint", "vectors", "graph")  # of `reading`: what teachers say that are no bi-encoders

_QUERIES, _DOCUMENTS = 64, 256  # that a teacher's cosines are compared on


class TeacherEnsemble:
    """The teachers of `teacher.model` and `[[teacher.ensemble]]`, with vectors of all their dimensions together."""

    def __init__(
        self, settings: TeacherSettings, members: Sequence[EmbeddingTeacher], spreads: Sequence[float] = ()
    ) -> None:
        """Take the teachers in the recipe's order. Weights count in units of the `spreads`."""
        self._settings, self._spreads, self.members = settings, spreads, members
        self._weights = shares(settings, spreads)
        self._scales = np.sqrt(self._weights).astype(np.float32)
        self.dimension = sum(member.dimension for member in self.members)
        readings = zip(self._weights.tolist(), self.members, strict=True)
        lines = [f"{weight!r} {member.fingerprint}" for weight, member in readings]
        self.fingerprint = sha256_bytes("\n".join(lines).encode())
        self.files = combined_files(self._weights, [member.files for member in self.members], self.fingerprint)

    def balanced(self, queries: Sequence[str], documents: Sequence[str]) -> "TeacherEnsemble":
        """Return the same teachers, each weight in units of how far that teacher's cosines spread over these texts."""
        spreads = [cosine_spread(member, queries, documents) for member in self.members]
        return TeacherEnsemble(self._settings, self.members, spreads)

    @property
    def first(self) -> BiEncoder | None:
        """The bi-encoder of `teacher.model`; `None` where that is of another kind."""
        return self.members[0].first

    @property
    def reading(self) -> dict[str, Any]:
        """How the first of them reads a text."""
        return self.members[0].reading

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document, with every teacher."""
        return all(member.same_for_both_roles for member in self.members)

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What each teacher adds to the vector, in order."""
        return [
            {
                "id": member.files.name,
                "revision": member.files.revision,
                "sha256": member.files.sha256,
                "licences": member.files.licences,
                "dimension": member.dimension,
                "share": float(self._weights[number]),
                "scale": round(float(self._scales[number]), 6),
                **({"cosine_spread": self._spreads[number]} if self._spreads else {}),
                **{kind: said for kind, said in member.reading.items() if kind in _KINDS},
            }
            for number, member in enumerate(self.members)
        ]

    def compute_on(self, device: Device) -> None:
        """Compute on another device from now on, with every teacher."""
        for member in self.members:
            member.compute_on(device)

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens the first teacher reads of each text."""
        return self.members[0].lengths(texts, role)

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, sum of the dimensions]."""
        vectors = [
            scale * member.encode(texts, role, precision)
            for member, scale in zip(self.members, self._scales, strict=True)
        ]
        return np.concatenate(vectors, axis=1)


def shares(settings: TeacherSettings, spreads: Sequence[float] = ()) -> np.ndarray:
    """Return each teacher's share of the score, float64 [teachers]; they sum to one.

    With `spreads`, how much each teacher's cosines spread, a teacher's weight counts in units of its spread.
    """
    weights = np.array([settings.weight, *(member.weight for member in settings.ensemble)])
    if spreads:
        weights = weights / np.asarray(spreads)
    return weights / weights.sum()


def with_shares(settings: TeacherSettings, parts: Sequence[Mapping[str, Any]]) -> TeacherSettings:
    """Return the settings with the shares that were measured, `parts` of a teacher's record, as their weights."""
    weights = [float(part["share"]) for part in parts]
    members = zip(settings.ensemble, weights[1:], strict=True)
    ensemble = tuple(replace(member, weight=weight) for member, weight in members)
    return replace(settings, weight=weights[0], ensemble=ensemble, balance="none")


def cosine_spread(teacher: EmbeddingTeacher, queries: Sequence[str], documents: Sequence[str]) -> float:
    """Return the standard deviation of a query's cosines with the documents, to two significant digits.

    So few digits keep the rounding of one machine from changing the fingerprint on another.
    """
    spread = spread_of(teacher.encode(queries, "query"), teacher.encode(documents, "document"))
    if not spread > 1e-6:
        raise InputError(
            f"teacher.ensemble: {teacher.files.name} gives all texts nearly the same vector; check its weights, or set "
            'teacher.balance = "none"'
        )
    return spread


def spread_of(queries: np.ndarray, documents: np.ndarray) -> float:
    """Return the same of unit vectors [queries, dimension] and [documents, dimension]."""
    return float(f"{float((queries @ documents.T).std(axis=1).mean()):.2g}")


def balance_texts(training: Sequence[TrainingText], documents: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the queries and documents that spreads are measured on: queries as people write them, or the next best."""
    generated = [text.text for text in training if text.role == "query"]
    queries = [text.text for text in training if text.kind == "query"] or generated or list(documents)
    return spread_texts(queries, _QUERIES), spread_texts(list(documents), _DOCUMENTS)


def combined_files(weights: np.ndarray, members: Sequence[TeacherIdentity], fingerprint: str) -> TeacherIdentity:
    """Return one record for all: a name with the shares, one hash over the hashes, every licence."""
    name = " + ".join(f"{weight:.3g} {files.name}" for weight, files in zip(weights, members, strict=True))
    revised = any(files.revision for files in members)
    return TeacherIdentity(
        name,
        " + ".join(files.revision or "-" for files in members) if revised else "",
        combined_sha256(members),
        fingerprint,
        {f"{key} of {files.name}": licence for files in members for key, licence in files.licences.items()},
    )


def combined_sha256(members: Sequence[TeacherIdentity]) -> str:
    """Return one hash over the hashes of all teachers' weights, in order."""
    return sha256_bytes("\n".join(files.sha256 for files in members).encode())


def for_each(settings: TeacherSettings, action: Callable[[TeacherSettings], Result]) -> list[Result]:
    """Return what `action` gives for each teacher by itself; errors name the teacher's section of the recipe."""
    alone = replace(settings, ensemble=())
    shared = {key: value for key, value in vars(alone).items() if key not in vars(EnsembleMember(""))}
    members = [TeacherSettings(**vars(member), **shared) for member in settings.ensemble]
    results = []
    for number, member in enumerate([alone, *members]):
        with naming(_section(number)):
            results.append(action(member))
    return results


def _section(number: int) -> str:
    return "teacher" if number == 0 else f"teacher.ensemble[{number - 1}]"
