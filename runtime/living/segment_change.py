"""Write what a change adds to an index: one segment, which documents count, and the new `index.json`."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..documents.document import Document, Documents
from ..encoder import Encoder
from ..errors import InputError
from ..files import atomic_folder, write_bytes
from ..integrity.listed_files import file_entry
from ..integrity.sealed import sealed_bytes
from ..progress import Progress
from ..schema import to_mapping
from ..search.arrays import open_array, write_array
from ..search.bm25 import FOLDER as BM25_FOLDER
from ..search.bm25 import count_words, merge_parts
from ..search.by_document import rows_of
from ..search.digests import document_digests
from ..search.entries import entry_texts
from ..search.index import INDEX_NAME, SEGMENTS, DocumentIndex, SegmentEntry, live_name
from ..search.segment_writer import SegmentWriter
from .compaction import segments_to_fold
from .plan import Plan


class SegmentChange:
    """One change of `index` by `plan`. Documents have numbers over all segments, or within theirs."""

    def __init__(
        self, index: DocumentIndex, encoder: Encoder, plan: Plan, corpus: Documents, digests: np.ndarray
    ) -> None:
        """See what is written, and which segments are folded into the new one."""
        self._index, self._encoder, self._plan, self._corpus, self._digests = index, encoder, plan, corpus, digests
        self._live = index.live_documents.astype(np.int64)
        self._sizes = np.array([segment.entries.documents for segment in index.segments])
        self._firsts = np.cumsum(self._sizes) - self._sizes
        numbers = np.sort(self._live[plan.kept])
        owners = np.searchsorted(self._firsts, numbers, side="right") - 1
        # Of each segment: the documents that stay, numbered within it, and their rows; both ascend.
        self._staying = [numbers[owners == at] - first for at, first in enumerate(self._firsts)]
        self._rows = [
            rows_of(staying, segment.entries.document_of)
            for staying, segment in zip(self._staying, index.segments, strict=True)
        ]
        known = plan.content[plan.written] >= 0
        self._moved = plan.written[known]  # numbers in the corpus: documents whose content the index has
        self.new = plan.written[~known]  # those to encode
        added = -(-len(plan.written) * index.manifest.count // index.manifest.documents)  # passages, about
        live = [len(rows) for rows in self._rows]
        self._folded = segments_to_fold([segment.count for segment in index.segments], live, added)

    def write(self, progress: Progress) -> int:
        """Write all of it; return how many passages were copied."""
        index, manifest = self._index, self._index.manifest
        kept = [at for at, rows in enumerate(self._rows) if at not in self._folded and len(rows)]
        entries = [manifest.segment_list()[at] for at in kept]
        generation, copied = manifest.generation + 1, 0
        if len(self._plan.written) or any(len(self._rows[at]) for at in self._folded):
            name = f"{SEGMENTS}/{generation}"
            with atomic_folder(index.folder / name) as partial:
                count, documents, copied = self._write_segment(partial, progress)
            entries.append(SegmentEntry(name, count, documents))
        self._commit(tuple(entries), self._numbers(kept), generation)
        return copied

    def _write_segment(self, folder: Path, progress: Progress) -> tuple[int, int, int]:
        """Write the new segment; return its passages, its documents, and how many passages were copied."""
        manifest, segments = self._index.manifest, self._index.segments
        with (
            closing(SegmentWriter(folder, self._encoder, manifest.vectors, manifest.cutting)) as writer,
            progress.task("index", len(self.new), "documents") as task,
        ):
            for at in self._folded:
                writer.copy(segments[at], self._rows[at])
            folded = len(writer.entries)
            sources = self._live[self._plan.content[self._moved]]
            for document, source in zip(self._chosen(self._moved), sources.tolist(), strict=True):
                at = next(at for at in reversed(range(len(segments))) if self._firsts[at] <= source)
                writer.move(document, segments[at], source - int(self._firsts[at]))
            copied = len(writer.entries)
            writer.encode(self._chosen(self.new), task)
        if manifest.bm25 is not None:
            texts = itertools.islice(entry_texts(folder), folded, None)
            if manifest.cutting is None:
                both = itertools.chain(self._chosen(self._moved), self._chosen(self.new))
                texts = (document.full_text for document in both)
            parts = [(segments[at].bm25_part(), self._rows[at]) for at in self._folded]
            counted = count_words(texts, manifest.bm25)
            everything = [*parts, (counted, np.arange(len(counted.lengths)))]
            merge_parts(everything).write(folder / BM25_FOLDER)
        return len(writer.entries), writer.entries.documents, copied

    def _chosen(self, numbers: np.ndarray) -> Iterator[Document]:
        """Yield the documents of the corpus with these `numbers`, which ascend."""
        if not len(numbers):
            return
        wanted = numbers.tolist()
        for at, document in enumerate(self._corpus):
            if at == wanted[0]:
                if document_digests(document) != self._digests[at].tobytes():
                    break
                yield document
                del wanted[:1]
                if not wanted:
                    return
        raise InputError("the corpus changed while it was read; run again")

    def _numbers(self, kept: list[int]) -> np.ndarray:
        """Return the documents that count, numbered over the segments `kept` and the new one, in order: int32 [m]."""
        live, new_number, first = self._plan.live, np.full(int(self._sizes.sum()), -1), 0
        for at in kept:
            new_number[self._firsts[at] : self._firsts[at] + self._sizes[at]] = first + np.arange(self._sizes[at])
            first += int(self._sizes[at])
        for at in self._folded:
            new_number[self._firsts[at] + self._staying[at]] = first + np.arange(len(self._staying[at]))
            first += len(self._staying[at])
        of_corpus = np.full(len(self._digests), -1)
        of_corpus[np.concatenate([self._moved, self.new])] = first + np.arange(len(self._plan.written))
        old = live >= 0
        numbers = np.empty(len(live), dtype=np.int32)
        numbers[old] = new_number[self._live[live[old]]]
        numbers[~old] = of_corpus[-1 - live[~old]]
        return numbers

    def _commit(self, segments: tuple[SegmentEntry, ...], numbers: np.ndarray, generation: int) -> None:
        """Write which documents count, and `index.json`: when that has its name, the change is done."""
        folder, old = self._index.folder, self._index.manifest
        folders = [folder / entry.folder for entry in segments]
        sizes = np.concatenate([np.bincount(open_array(path / "document_of.npy")) for path in folders])
        tokens = np.concatenate([open_array(path / "tokens.npy") for path in folders])[numbers].sum(axis=0, dtype=int)
        live = live_name(generation)
        write_array(folder / live, numbers)
        names = sorted([live, *(name for entry in segments for name in old.segment_parts(entry))])
        manifest = replace(
            old,
            generation=generation,
            segments=segments,
            documents=len(numbers),
            count=int(sizes[numbers].sum()),
            tokens=int(tokens[0]),
            tokens_read=int(tokens[1]),
            files={name: old.files.get(name) or file_entry(folder / name) for name in names},
        )
        write_bytes(folder / INDEX_NAME, sealed_bytes(to_mapping(manifest), "index_sha256"))
