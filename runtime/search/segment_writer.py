"""Writes documents into a segment of an index: their entries, and a vector for each."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..documents.document import Document
from ..encoder import Encoder
from ..passages.cutter import Cut, Cutting, Passage, PassageCutter, whole_passage
from ..passages.encode import PassageText, encode_passages
from ..progress import Task
from .arrays import AppendedArray
from .by_document import rows_of
from .digests import document_digests
from .entries import EntryWriter, entry_record
from .segment import SNIPPET_CHARACTERS, Segment
from .stored_vectors import BLOCK_ROWS, VectorKind, array_layout, store_vectors


class SegmentWriter:
    """Appends documents to the files of one segment; close it in the end."""

    def __init__(self, folder: Path, encoder: Encoder, kind: VectorKind, cutting: Cutting | None) -> None:
        """Begin the files in `folder`; without `cutting`, a document has one vector, that of its beginning."""
        self.entries = EntryWriter(folder)
        self._kind: VectorKind = kind
        self._encoder = encoder
        self._cutter = PassageCutter(encoder.tokenizer, encoder.prompts.document, cutting) if cutting else None
        layout = array_layout(kind, 0, encoder.dimension)
        self._arrays = {
            name: AppendedArray(folder / f"{name}.npy", dtype, shape[1:]) for name, (dtype, shape) in layout.items()
        }

    def close(self) -> None:
        """Finish the files."""
        self.entries.close()
        for array in self._arrays.values():
            array.close()

    def encode(self, documents: Iterable[Document], task: Task) -> None:
        """Cut and encode `documents`."""
        weight = self._cutter.cutting.heading_weight if self._cutter else 0.0
        for block in encode_passages(self._encoder, self._cut(documents, task), weight):
            self._append(store_vectors(block, self._kind))

    def take(self, documents: Iterable[Document], vectors: Iterable[np.ndarray], task: Task) -> None:
        """Take `documents` with one vector each; `vectors` are blocks of them, float32 [m, d]."""
        for _ in self._cut(documents, task):
            pass
        for block in vectors:
            self._append(store_vectors(block, self._kind))

    def copy(self, segment: Segment, rows: np.ndarray) -> None:
        """Copy `rows` of `segment`, ascending, all of each document, as they are."""
        entries = segment.entries
        before = -1
        for row, document in zip(rows.tolist(), entries.document_of[rows].tolist(), strict=True):
            if document != before:
                self.entries.begin(segment.digests[document].tobytes(), segment.tokens_of(document))
                before = document
            self.entries.append_line(entries.line(row))
        self._copy_vectors(segment, rows)

    def move(self, document: Document, segment: Segment, number: int) -> None:
        """Write `document` with the passages and vectors of the document `number` in `segment`: it has its content."""
        self.entries.begin(document_digests(document), segment.tokens_of(number))
        rows = rows_of(np.array([number]), segment.entries.document_of)
        for row in rows.tolist():
            old = segment.entries.record(row)
            passage = Passage(old["text"], old["start"], old["end"], tuple(old["headings"]), "")
            self.entries.append(entry_record(document, passage))
        self._copy_vectors(segment, rows)

    def _cut(self, documents: Iterable[Document], task: Task) -> Iterator[PassageText]:
        """Write the entries of `documents`, and yield what is encoded of each."""
        for document in documents:
            cut = self._passages(document)
            self.entries.begin(document_digests(document), (cut.tokens, cut.tokens_read))
            for passage in cut.passages:
                self.entries.append(entry_record(document, passage))
                yield passage.to_encode(document) if self._cutter else PassageText(document.full_text)
            task.advance(1)

    def _passages(self, document: Document) -> Cut:
        if self._cutter:
            return self._cutter.cut(document)
        return whole_passage(document, self._encoder.tokenizer, self._encoder.prompts.document, SNIPPET_CHARACTERS)

    def _append(self, stored: dict[str, np.ndarray]) -> None:
        for name, values in stored.items():
            self._arrays[name].append(values)

    def _copy_vectors(self, segment: Segment, rows: np.ndarray) -> None:
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            self._append({name: array[block] for name, array in segment.arrays.items()})
