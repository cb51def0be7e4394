"""What has no vector: counted, named and left out."""

from collections.abc import Sequence

from ...runtime.errors import InputError
from ..retrieval.dataset import RetrievalSet
from ..settings import CorpusSettings, TeacherSettings
from .lookup import CorpusTexts, PrecomputedVectors, Role, precomputed_vectors

_NAMED = 3  # ids in a message


class Coverage:
    """What the vectors of all teachers that consist of such cover; everything where there is none."""

    def __init__(self, teacher: TeacherSettings, retrieval_set: RetrievalSet, source: CorpusSettings) -> None:
        """Open the files for a set that was read from `source`; errors are those of `PrecomputedVectors`."""
        collection = CorpusTexts.of(retrieval_set, source)
        self.members = [PrecomputedVectors(vectors, collection) for vectors in precomputed_vectors(teacher)]

    def has(self, text: str, role: Role) -> bool:
        """Return whether every teacher has a vector of a text."""
        return all(member.has(text, role) for member in self.members)

    def texts(self) -> list[str]:
        """Return the texts of `vectors.texts` that every teacher has, in the order of the first."""
        return [text for text in self.members[0].texts if self.has(text, "query")] if self.members else []

    def select(self, whole: RetrievalSet) -> tuple[RetrievalSet, list[str]]:
        """Return the part of a set that has vectors, and in words what was left out.

        A query goes with its last relevant document. Raises `InputError` when no document is left.
        """
        if not self.members:
            return whole, []
        documents = {name: text for name, text in whole.documents.items() if self.has(text, "document")}
        if not documents:
            raise InputError("teacher.vectors: no document of the corpus has a vector; name the files of this corpus")
        queries = {name: text for name, text in whole.queries.items() if self.has(text, "query")}
        qrels = {}
        for split, judged in whole.qrels.items():
            left = {
                query: {name: grade for name, grade in grades.items() if name in documents}
                for query, grades in judged.items()
                if query in queries
            }
            qrels[split] = {
                query: grades for query, grades in left.items() if any(grade > 0 for grade in grades.values())
            }
        judged = {query for split in qrels.values() for query in split}
        before = {query for split in whole.qrels.values() for query in split}
        unanswered = [name for name in queries if name in before - judged]
        words = [
            _left_out("documents", [name for name in whole.documents if name not in documents], len(whole.documents)),
            _left_out("queries", [name for name in whole.queries if name not in queries], len(whole.queries)),
        ]
        if unanswered:
            words.append(f"{len(unanswered):,} queries left out with their relevant documents{_such_as(unanswered)}")
        kept = {name: text for name, text in queries.items() if name not in unanswered}
        titles = {name: title for name, title in whole.titles.items() if name in documents}
        return RetrievalSet(documents, titles, kept, qrels, whole.remarks), [text for text in words if text]


def _left_out(what: str, names: Sequence[str], of: int) -> str:
    return f"{len(names):,} of {of:,} {what} left out: they have no vector{_such_as(names)}" if names else ""


def _such_as(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})"
