"""What can rank the documents of a retrieval set, described once: every key of `evaluation.json` is made here."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

DocumentEncoder = Literal["student", "teacher"]
QueryEncoder = Literal["student", "student_fp32", "teacher"]
Storage = Literal["float32", "int8", "binary", "binary_unrescored"]  # of document vectors


@dataclass(frozen=True)
class System:
    """Who encodes queries and documents, how document vectors are stored, and how BM25 takes part.

    Encoders of queries are the shipped file of the bundle, its fp32 file, and the teacher. BM25 takes part by itself
    (`only`), by z-scores over all documents (`fusion`), as on the device (`hybrid`), or by reciprocal ranks (`ranks`).
    """

    queries: QueryEncoder | Literal[""] = ""
    documents: DocumentEncoder | Literal[""] = ""
    storage: Storage = "float32"
    bm25: Literal["", "only", "fusion", "hybrid", "ranks"] = ""

    @property
    def key(self) -> str:
        """Its name in reports, such as `symmetric_int8` or `hybrid_asymmetric`."""
        if self.bm25 == "only":
            return "bm25"
        if self.bm25 == "ranks":
            return "hybrid_ranks"
        vectors = "teacher" if self.queries == "teacher" else _PAIRINGS[self.documents]
        parts = (self.bm25, vectors, "" if self.storage == "float32" else self.storage)
        return "_".join(part for part in (*parts, "fp32" if self.queries == "student_fp32" else "") if part)


_PAIRINGS = {"student": "symmetric", "teacher": "asymmetric"}

SYMMETRIC, ASYMMETRIC = System("student", "student"), System("student", "teacher")
TEACHER, BM25 = System("teacher", "teacher"), System(bm25="only")

_symmetric = partial(System, "student", "student")
_asymmetric = partial(System, "student", "teacher")
_METHODS: dict[System, str] = {
    SYMMETRIC: "bundle encodes queries and documents",
    ASYMMETRIC: "bundle encodes queries, teacher documents through the projection",
    _symmetric("int8"): "bundle encodes queries and documents, document vectors kept in int8",
    _symmetric("binary"): "bundle encodes queries and documents, vectors kept in bits, the best 500 or more "
    "rescored in int8",
    _symmetric("binary_unrescored"): "bundle encodes queries and documents, vectors kept in bits alone",
    System("student_fp32", "student"): "fp32 file encodes queries and documents",
    System("student_fp32", "teacher"): "fp32 file encodes queries, teacher documents through the projection",
    TEACHER: "teacher encodes queries and documents",
    BM25: "BM25, English stop words",
    _symmetric(bm25="fusion"): "bundle alone and BM25, sum of z-scores per query",
    _asymmetric(bm25="fusion"): "bundle with teacher documents and BM25, sum of z-scores per query",
    System("teacher", "teacher", bm25="fusion"): "teacher and BM25, sum of z-scores per query",
    _symmetric(bm25="hybrid"): "bundle alone and BM25 as on the device, z-scores over the candidates of both",
    _asymmetric(bm25="hybrid"): "bundle with teacher documents and BM25 as on the device",
    _symmetric(bm25="ranks"): "bundle alone and BM25, reciprocal rank fusion",
}

# key -> what it is, for people; in the order of reports
METHODS = {system.key: method for system, method in _METHODS.items()}


def method_in(key: str, language: str) -> str:
    """Return what system `key` is, with the stop words of BM25 in `language` (`Bm25Settings.stop_words`).

    >>> method_in("bm25", "de"), method_in("bm25", "none")
    ('BM25, stop words of "de"', 'BM25, no stop words')
    """
    stop_words = "no stop words" if language == "none" else f'stop words of "{language}"'
    return METHODS[key] if language == "en" else METHODS[key].replace("English stop words", stop_words)
