"""What stage `corpus` leaves: documents, queries and relevance judgements in BEIR layout."""

from typing import ClassVar

from ..retrieval.dataset import RetrievalSet, read_retrieval_set
from ..stage import OutputPath, StageOutput


class CorpusOutput(StageOutput):
    """Documents, queries and judgements."""

    stage: ClassVar[str] = "corpus"

    documents_file = OutputPath("corpus.jsonl")  # one document a line: `_id`, `title`, `text`
    queries_file = OutputPath("queries.jsonl")  # one query a line: `_id`, `text`

    def retrieval_set(self) -> RetrievalSet:
        """Read all of it."""
        return read_retrieval_set(self.folder)
