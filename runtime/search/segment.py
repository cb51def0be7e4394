"""A segment of an index: documents that were written together, and are never changed. A fresh index is one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .bm25 import FOLDER, Bm25Part, map_files
from .digests import DIGEST
from .entries import Entries, load_array
from .stored_vectors import VectorKind, array_layout

SNIPPET_CHARACTERS = 200


@dataclass(frozen=True)
class SegmentForm:
    """What the files of a segment hold."""

    count: int  # passages
    dimension: int
    vectors: VectorKind
    bm25: bool


class Segment:
    """The files of one segment, mapped from disk."""

    def __init__(self, folder: Path, form: SegmentForm, *, whole_documents: bool, advice: str) -> None:
        """Map the files in `folder`; raise `VerificationError`, which ends in `advice`, if they do not fit `form`.

        All are mapped at once: they may be removed, when the index changes, while it is open.
        """
        self.folder, self.count = folder, form.count
        self.entries = Entries(folder, form.count, whole_documents=whole_documents, advice=advice)
        layout = array_layout(form.vectors, form.count, form.dimension)
        self.arrays = {name: load_array(folder, name, *shape, advice) for name, shape in layout.items()}
        self.digests, self.tokens = np.empty((0, 3), DIGEST), np.empty((0, 2), np.int32)
        if not whole_documents:
            documents = self.entries.documents
            self.digests = load_array(folder, "digests", DIGEST, (documents, 3), advice)
            self.tokens = load_array(folder, "tokens", np.dtype(np.int32), (documents, 2), advice)
        self._words = map_files(folder / FOLDER) if form.bm25 and not whole_documents else None

    def tokens_of(self, document: int) -> tuple[int, int]:
        """Return the tokens of one document, and those that reach a vector."""
        return int(self.tokens[document, 0]), int(self.tokens[document, 1])

    def bm25_part(self) -> Bm25Part:
        """Return the segment's words; there where the index has a BM25 part."""
        if self._words is None:
            raise InputError(f"{self.folder} has no BM25 part; make the index again with `pocketrank index --hybrid`")
        return Bm25Part.of_files(self._words, self.count, self.folder / FOLDER)
