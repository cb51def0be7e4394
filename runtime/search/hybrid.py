"""Hybrid search: the bundle's vectors and BM25, fused on the device.

The candidates are the best documents of each side; all are scored by both, each by its best passage, each score is
standardised over them (mean 0, deviation 1), and the weighted sums rank. Vectors find what is said in other words,
BM25 what is said in the same ones: names, numbers, rare terms that a small vocabulary splits into many tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..manifest import MANIFEST_NAME, read_manifest
from .bm25 import Bm25Index, load_library
from .by_document import best_by_document, rows_of
from .index import WHOLE_DOCUMENTS, DocumentIndex, Hit
from .stored_vectors import StoredVectors
from .top_k import top_k

# Candidates of each side, for each result that is asked for, and at least.
CANDIDATES, CANDIDATES_MIN = 10, 100
# Of BM25's standardised score beside the vectors'. docs/how-to/hybrid-search.md shows what other weights give: vectors
# are the better ranker of most corpora, and of equal weights the worse ranker takes more away than it adds.
BM25_WEIGHT = 0.4


def hybrid_weight(bundle: Path, documents_by: str) -> float:
    """Return what BM25 counts beside the vectors: what was chosen for the bundle's corpus, else the default.

    `documents_by` says whose vectors the documents have, as in `IndexManifest`: those of the bundle or the teacher's.
    """
    chosen = read_manifest(bundle).bm25_weight if (bundle / MANIFEST_NAME).is_file() else None
    return (chosen or {}).get(documents_by, BM25_WEIGHT)


def standardise(scores: np.ndarray, over: np.ndarray | None = None) -> np.ndarray:
    """Return `scores` [..., n] with mean 0 and deviation 1 along the last axis, float64; 0 where all are equal.

    Mean and deviation are those of `over`, where that is given.
    """
    wide = scores.astype(np.float64)
    reference = wide if over is None else over.astype(np.float64)
    deviation = reference.std(axis=-1, keepdims=True)
    return (wide - reference.mean(axis=-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class Candidates:
    """What can be found for one query: documents, with all of their passages.

    `by_vector` and `by_words` are standardised over what each document's best passage has.
    """

    rows: np.ndarray  # of passages [m], ascending
    starts: np.ndarray  # [documents], where in `rows` those of each document begin
    by_vector: np.ndarray  # [m]
    by_words: np.ndarray  # [m]

    def top(self, k: int, bm25_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions of their best passages, fused scores) of the `k` best documents, best first.

        A document has the best of its passages' scores on either side, not always by the same passage. Equal scores
        come in the order of the documents.
        """
        best = [np.maximum.reduceat(scores, self.starts) for scores in (self.by_vector, self.by_words)]
        fused = best[0] + bm25_weight * best[1]
        chosen = top_k(fused, k)
        of_rows = self.by_vector + bm25_weight * self.by_words
        ends = [*map(int, self.starts[1:]), len(self.rows)]
        shown = [
            int(first + of_rows[first : ends[number]].argmax())
            for number, first in zip(chosen, self.starts[chosen], strict=True)
        ]
        return self.rows[shown], fused[chosen]


def find_candidates(
    stored: StoredVectors, vector: np.ndarray, bm25_scores: np.ndarray, k: int, document_of: np.ndarray | None = None
) -> Candidates:
    """Return the candidates for `k` documents: the best by the query's `vector` [d], and the best by BM25.

    `bm25_scores` [n] are those of all passages; a document that shares no word with the query is no candidate.
    `document_of` [n] says which document each is of; without it each is one.
    """
    document_of = np.arange(stored.count, dtype=np.int32) if document_of is None else document_of
    depth = max(CANDIDATES * k, CANDIDATES_MIN)
    by_vector, _ = best_by_document(lambda rows: stored.top(vector, rows), document_of, depth)

    def top_by_words(rows: int) -> tuple[np.ndarray, np.ndarray]:
        best = top_k(bm25_scores, rows)
        best = best[bm25_scores[best] > 0]
        return best, bm25_scores[best]

    by_words, _ = best_by_document(top_by_words, document_of, depth)
    rows = rows_of(np.union1d(document_of[by_vector], document_of[by_words]), document_of)
    starts = np.flatnonzero(np.diff(document_of[rows], prepend=-1))
    standardised = [
        standardise(scores, np.maximum.reduceat(scores, starts))
        for scores in (stored.scores_of(vector, rows), bm25_scores[rows])
    ]
    return Candidates(rows, starts, *standardised)


class HybridIndex:
    """An index with a BM25 part, searched by vectors and words together.

    >>> index = HybridIndex(DocumentIndex.open("index"))
    >>> query = "close the file"
    >>> index.search(Encoder.open("bundle").encode_query(query), query, k=1)[0].id
    'file'
    """

    def __init__(self, index: DocumentIndex, bm25_weight: float = BM25_WEIGHT) -> None:
        """Open the BM25 part of `index`; its scores count `bm25_weight` times.

        Raises `InputError` when it has none or a damaged one, `UnavailableError` when bm25s is not installed.
        """
        settings = index.manifest.bm25
        if settings is None or index.manifest.schema_version == WHOLE_DOCUMENTS:
            part = "BM25 part of an older form" if settings else "no BM25 part"
            raise InputError(f"{index.folder} has {part}; make it again with `pocketrank index --hybrid`")
        self.index = index
        self.bm25_weight = bm25_weight
        load_library()
        parts = [segment.bm25_part() for segment in index.segments]
        self.bm25 = Bm25Index(parts, settings, index.folder, index.order)

    def search(self, vector: np.ndarray, query: str, k: int = 10) -> list[Hit]:
        """Return the `k` best documents for the `query` and its `vector` [d], best first; scores are sums of two."""
        rows, scores = self.top(vector, query, k)
        return [self.index.hit(rank, int(row), float(scores[rank - 1])) for rank, row in enumerate(rows, start=1)]

    def top(self, vector: np.ndarray, query: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `Candidates.top` does: the best passage of each of the `k` best documents, and their scores."""
        scores, document_of = self.bm25.scores(query), self.index.document_of
        return find_candidates(self.index.stored, vector, scores, k, document_of).top(k, self.bm25_weight)
