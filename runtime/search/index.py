"""An index of documents: a vector and the text of each passage, in a folder that is searched from disk.

    index.json        what made it, how many passages and documents, how vectors are kept, hashes of every file
    passages.jsonl    what each passage is, see `runtime/search/entries.py`, with offsets.npy and document_of.npy
    vectors.npy       float32 [n, d]                                   vectors = "float32"
    codes.npy         int8 [n, d] and scales.npy, float32 [n]          vectors = "int8": vector = code * scale
    bits.npy          uint64 [n, ceil(d / 64)], signs of the vectors   vectors = "binary", besides codes and scales
    bm25/             which words are in which passages                only with `hybrid`, see `runtime/search/bm25.py`
    digests.npy       what tells which documents changed, see `runtime/search/digests.py`, and tokens.npy

These files are a *segment*. An index that was changed (`runtime/living/`) has several, in the folders segments/NUMBER/,
and `live-NUMBER.npy`, int32 [documents]: which documents count, numbered over all segments, in the order of a fresh
index. Segments are never changed; `index.json` names those that count and is written last, by one rename, so that
whoever opens the index finds it as it was before a change or after it.

`runtime/passages/` cuts documents into passages, `runtime/search/stored_vectors.py` says how vectors are stored and
searched, `runtime/search/by_document.py` how documents rank. An index of whole documents has one passage a document;
so does one of schema version 2, which is read too.

The last line of `index.json` is the SHA-256 of all lines above it. An index is checked when it is opened: the digest of
`index.json`, the size of every file, the order of the offsets, and of an index of at most 16 MB (about 10,000
documents) every byte, which takes some hundredths of a second. `pocketrank verify INDEX` checks every byte of any.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..encoder import Encoder
from ..errors import InputError, VerificationError
from ..files import read_bytes
from ..integrity.listed_files import FileEntry, checked_file, sized_file
from ..integrity.sealed import parse_sealed
from ..passages.cutter import Cutting
from ..schema import from_mapping
from .bm25 import FOLDER as BM25_FOLDER
from .bm25 import NAMES as BM25_NAMES
from .bm25 import Bm25Settings
from .by_document import DocumentRanking, ranked_documents
from .entries import OLD_NAME, PASSAGES_NAME, RECORD_KEYS, load_array
from .order import RowOrder
from .segment import SNIPPET_CHARACTERS, Segment, SegmentForm
from .stored_vectors import StoredVectors, VectorKind, array_layout

SCHEMA_VERSION = 3
WHOLE_DOCUMENTS = 2  # the older version that is read: an entry a document
INDEX_NAME, SEGMENTS = "index.json", "segments"
ADVICE = "make the index again with `pocketrank index`"
CHECKED_WHOLE = 16_000_000  # bytes; the files of an index up to this size are hashed when it is opened
_ARRAYS = ("document_of", "digests", "tokens", "offsets", "vectors", "codes", "scales", "bits")
_LIVE = re.compile(r"live-\d+\.npy\Z")
ATTEMPTS = 20  # to open an index that is changed again and again meanwhile


@dataclass(frozen=True)
class SegmentEntry:
    """A segment in `index.json`."""

    folder: str  # relative to the index; empty: the index's own
    count: int  # passages, those of deleted documents included
    documents: int  # in the same way


@dataclass(frozen=True)
class IndexManifest:
    """The whole of `index.json`."""

    count: int  # passages; of whole documents, as many as documents
    documents: int  # that are searched
    dimension: int  # of the vectors
    vectors: VectorKind  # how they are stored
    variant: str  # name of the bundle's variant
    model_sha256: str  # of the ONNX file that encoded the documents, or encodes the queries
    tokenizer_sha256: str  # of the bundle's tokenizer.json
    documents_by: Literal["bundle", "teacher"]  # whose vectors: the bundle's own, or the teacher's after projection
    files: dict[str, FileEntry]  # every other file, by name relative to the index
    schema_version: int = SCHEMA_VERSION  # of this format
    cutting: Cutting | None = None  # how documents were cut into passages; absent for whole documents
    tokens: int = 0  # of all documents, in those of the bundle; 0 where it was not counted
    tokens_read: int = 0  # of these, in what has a vector
    generation: int = 0  # how often the index was changed
    segments: tuple[SegmentEntry, ...] = ()  # where it was changed; otherwise there is one, in the index's own folder
    space: str = ""  # that the vectors live in, as `Manifest.space`; empty where the bundle did not say
    bm25: Bm25Settings | None = None  # the part of hybrid search; absent without it
    index_sha256: str = ""  # last line of the file: the digest of the lines above it

    def __post_init__(self) -> None:
        """Refuse what no index can have."""
        if self.count < 1 or self.dimension < 1 or not 1 <= self.documents <= self.count:
            raise ValueError("count, documents and dimension must be at least 1 and fit; make the index again")
        missing = [name for name in self.parts() if name not in self.files]
        if missing:
            raise ValueError(f"{missing[0]} is not among the files; make the index again")

    def segment_list(self) -> tuple[SegmentEntry, ...]:
        """Return the segments, at least one."""
        return self.segments or (SegmentEntry("", self.count, self.documents),)

    def parts(self) -> list[str]:
        """Return the names of the files that an index of this kind has."""
        names = [name for segment in self.segment_list() for name in self.segment_parts(segment)]
        return [*names, live_name(self.generation)] if self.segments else names

    def segment_parts(self, segment: SegmentEntry) -> list[str]:
        """Return the names of the files of one segment."""
        arrays = array_layout(self.vectors, 1, self.dimension)
        old = self.schema_version == WHOLE_DOCUMENTS
        entries = [OLD_NAME] if old else [PASSAGES_NAME, "document_of.npy", "digests.npy", "tokens.npy"]
        names = [*entries, "offsets.npy", *(f"{array}.npy" for array in arrays)]
        if self.bm25 and not old:
            names += [f"{BM25_FOLDER}/{name}" for name in BM25_NAMES]
        return [f"{segment.folder}/{name}" if segment.folder else name for name in names]

    @property
    def share_read(self) -> float:
        """The share of the documents' tokens that reach a vector."""
        return self.tokens_read / self.tokens if self.tokens else 1.0

    @property
    def size(self) -> int:
        """The bytes of all files but `index.json`."""
        return sum(entry.bytes for entry in self.files.values())


def read_index_manifest(folder: Path) -> IndexManifest:
    """Read and check `index.json` of the index in `folder`; the other files are not looked at.

    Raises `InputError` where there is none or an unknown schema version, `VerificationError` where it is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise InputError(f"{folder} is no index: it has no {INDEX_NAME}; make one with `pocketrank index`")
    mapping = parse_sealed(read_bytes(path), path, "index_sha256", SCHEMA_VERSION, ADVICE, (WHOLE_DOCUMENTS,))
    if mapping["schema_version"] == WHOLE_DOCUMENTS:
        mapping["documents"] = mapping.get("count")
    return from_mapping(IndexManifest, mapping, str(path))


@dataclass(frozen=True)
class Hit:
    """One result: the best passage of a document; `rank` begins with 1."""

    rank: int
    score: float  # the dot product of unit vectors; of hybrid search, the weighted sum of two
    id: str  # of the document
    title: str
    headings: tuple[str, ...]  # above the passage, below the title
    text: str  # of the passage; of a whole document, its beginning
    file: str  # where the passage stands; empty where that is not known
    line: int  # of the file, 0 where it is not known
    start: int  # characters of the document's text
    end: int

    @property
    def snippet(self) -> str:
        """The beginning of the text, on one line."""
        return " ".join(self.text[: 2 * SNIPPET_CHARACTERS].split())[:SNIPPET_CHARACTERS]


def live_name(generation: int) -> str:
    """Return the name of the file that says which documents count after so many changes."""
    return f"live-{generation}.npy"


def is_leftover(name: str) -> bool:
    """Tell whether the file `name`, which `index.json` does not list, can be what a change left."""
    top = name.split("/")[0]
    words = (f"{BM25_FOLDER}/ (empty)", *(f"{BM25_FOLDER}/{part}" for part in BM25_NAMES))
    own = (OLD_NAME, PASSAGES_NAME, *words, *(f"{array}.npy" for array in _ARRAYS))
    partial = top.startswith(".") and top.endswith(".partial")
    return top == SEGMENTS or name in own or bool(_LIVE.match(name)) or partial


class DocumentIndex:
    """A saved index, its vectors mapped from disk. Open one with `DocumentIndex.open`.

    >>> index = DocumentIndex.open("index")
    >>> len(index), index.manifest.dimension, index.manifest.vectors
    (4, 24, 'float32')
    """

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        """Map the files of `folder`; `DocumentIndex.open` is the door."""
        self.folder = folder
        self.manifest = manifest
        self.segments = [self._segment(entry) for entry in manifest.segment_list()]
        if (found := sum(segment.entries.documents for segment in self.segments)) != self._written:
            raise VerificationError(f"{folder} names {found} documents in its arrays; {ADVICE}")
        self.live_documents = self._read_live()
        self.order = self._read_order() if manifest.segments else None
        arrays = [segment.arrays for segment in self.segments]
        self.stored = StoredVectors(manifest.vectors, *arrays, order=self.order)

    @property
    def _written(self) -> int:
        return sum(segment.documents for segment in self.manifest.segment_list())

    def _segment(self, entry: SegmentEntry) -> Segment:
        manifest = self.manifest
        form = SegmentForm(entry.count, manifest.dimension, manifest.vectors, manifest.bm25 is not None)
        whole = manifest.schema_version == WHOLE_DOCUMENTS
        return Segment(self.folder / entry.folder, form, whole_documents=whole, advice=ADVICE)

    def _read_order(self) -> RowOrder:
        try:
            order = RowOrder(self.live_documents, [segment.entries.document_of for segment in self.segments])
        except ValueError as error:
            path = self.folder / live_name(self.manifest.generation)
            raise VerificationError(f"{path} is damaged: {error}; {ADVICE}") from None
        if len(order.rows) != self.manifest.count:
            raise VerificationError(f"{self.folder} has {len(order.rows)} passages in its arrays; {ADVICE}")
        return order

    def digests(self) -> np.ndarray:
        """Return the digests of the documents [documents, 3], in their order; see `runtime/search/digests.py`."""
        return np.concatenate([segment.digests for segment in self.segments])[self.live_documents]

    def _read_live(self) -> np.ndarray:
        """Return the documents that count, numbered over all segments, in the order of the index: ints [documents]."""
        manifest = self.manifest
        if not manifest.segments:
            return np.arange(manifest.documents)
        name = live_name(manifest.generation).removesuffix(".npy")
        return load_array(self.folder, name, np.dtype(np.int32), (manifest.documents,), ADVICE)

    @classmethod
    def open(cls, folder: str | Path) -> "DocumentIndex":
        """Open the index in `folder`, and check it as the head of the module says.

        An index that is being changed is opened as it was before or after. Raises `InputError` when it is none or of
        another schema version, `VerificationError` when it is damaged.
        """
        folder = Path(folder)
        for _ in range(ATTEMPTS):
            manifest = read_index_manifest(folder)
            try:
                return cls._checked(folder, manifest)
            except (InputError, VerificationError):
                # Files go away when a change is done: they may have been those of the state before.
                if read_index_manifest(folder).index_sha256 == manifest.index_sha256:
                    raise
        raise InputError(f"{folder} is changed all the time; open it again when that is done")

    @classmethod
    def _checked(cls, folder: Path, manifest: IndexManifest) -> "DocumentIndex":
        check = checked_file if manifest.size <= CHECKED_WHOLE else sized_file
        for name in manifest.parts():
            check(folder, name, manifest.files[name], ADVICE)
        return cls(folder, manifest)

    def __len__(self) -> int:
        """Return the number of documents."""
        return self.manifest.documents

    @property
    def document_of(self) -> np.ndarray:
        """The number of the document of each passage, int32 [passages], ascending."""
        return self.segments[0].entries.document_of if self.order is None else self.order.document_of

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise `InputError` unless the vectors of `encoder` can be compared with those of the index.

        Documents that the teacher encoded go with every student of their space; those that a bundle encoded, with the
        very model and tokenizer.
        """
        by_teacher = self.manifest.documents_by == "teacher"
        if by_teacher and self.manifest.space and self.manifest.space == encoder.space:
            return
        own = (self.manifest.model_sha256, self.manifest.tokenizer_sha256)
        other = (encoder.model_sha256, encoder.tokenizer_sha256)
        if own != other:
            part = "model" if own[0] != other[0] else "tokenizer"
            spaces = ""
            if by_teacher:
                old, new = (name[:12] or "without a name" for name in (self.manifest.space, encoder.space))
                spaces = f" and in another space ({old}, the bundle's is {new})"
            raise InputError(
                f"{self.folder} was made with another {part} than {encoder.bundle}{spaces}, their vectors cannot be "
                "compared; name the index's own bundle, or make the index again with `pocketrank index`"
            )

    @property
    def vectors(self) -> np.ndarray:
        """The vectors of passages [n, d], mapped from disk; only an index of float32 vectors holds them whole."""
        if self.manifest.vectors != "float32":
            raise InputError(f"{self.folder} holds {self.manifest.vectors} vectors; make a float32 index for this")
        return self.stored.vectors

    def search(self, vector: np.ndarray, k: int = 10, ranking: DocumentRanking = "max") -> list[Hit]:
        """Return the `k` best documents for the query `vector` [d], best first, each by its best passage."""
        rows, scores = self.top_documents(vector, k, ranking)
        return [self.hit(rank, int(row), float(scores[rank - 1])) for rank, row in enumerate(rows, start=1)]

    def top(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, scores) of the `k` best passages, as `StoredVectors.top` does."""
        return self.stored.top(vector, k)

    def top_documents(
        self, vector: np.ndarray, k: int, ranking: DocumentRanking = "max"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, scores) of the best passage of each of the `k` best documents, best first.

        Scores are the documents' by `ranking`, see `runtime/search/by_document.py`.
        """
        return ranked_documents(self.stored, vector, self.document_of, k, ranking)

    def hit(self, rank: int, row: int, score: float) -> Hit:
        """Return the passage at position `row` as a result."""
        if not math.isfinite(score):
            raise VerificationError(f"{self.folder} is damaged: passage {row} has the score {score}; {ADVICE}")
        record = self.record(row)
        record["headings"] = tuple(map(str, record["headings"]))
        return Hit(rank=rank, score=round(score, 6), **{name: record[name] for name in RECORD_KEYS})

    def record(self, row: int) -> dict[str, Any]:
        """Return what is kept of the passage at position `row`, as `entries.entry_record` says."""
        if self.order is None:
            return self.segments[0].entries.record(row)
        ((segment, _, rows),) = self.order.in_segments(np.array([row]))
        return self.segments[segment].entries.record(int(rows[0]))
