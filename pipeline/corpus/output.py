"""What stage `corpus` leaves: documents, queries and relevance judgements in BEIR layout."""

from pathlib import Path
from typing import ClassVar

from ..retrieval.dataset import RetrievalSet, read_retrieval_set
from ..stage import StageOutput


class CorpusOutput(StageOutput):
    """Documents, queries and judgements."""

    stage: ClassVar[str] = "corpus"

    @property
    def documents_file(self) -> Path:
        """One document a line: `_id`, `title`, `text`."""
        return self.folder / "corpus.jsonl"

    @property
    def queries_file(self) -> Path:
        """One query a line: `_id`, `text`."""
        return self.folder / "queries.jsonl"

    def retrieval_set(self) -> RetrievalSet:
        """Read all of it."""
        return read_retrieval_set(self.folder)
