"""An index of documents: vectors, titles and the beginning of each text, in a folder that is searched from disk.

    index.json        what made it, how many documents, how the vectors are kept, size of every file
    documents.jsonl   id, title and snippet of each document, a line each
    offsets.npy       int64 [n + 1], where the lines begin
    vectors.npy       float32 [n, d]                                   vectors = "float32"
    codes.npy         int8 [n, d] and scales.npy, float32 [n]          vectors = "int8": vector = code * scale
    bits.npy          uint64 [n, ceil(d / 64)], signs of the vectors   vectors = "binary", besides codes and scales
    bm25/             which words are in which documents               only with `hybrid`, see `runtime/bm25.py`

`binary` first ranks all documents by the bits that differ from the query's (numpy counts 64 at a time), then the
best candidates by their int8 vectors. Every search is exact within its kind of vectors, goes through the file in
blocks, and orders equal scores by the document's position, so that memory stays small and results are repeatable.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .arrays import open_array
from .bm25 import FOLDER as BM25_FOLDER
from .bm25 import NAMES as BM25_NAMES
from .bm25 import Bm25Settings, write_bm25
from .corpus import Documents
from .encoder import Encoder
from .errors import InputError
from .files import atomic_folder, folder_sizes, read_json, write_json
from .progress import NoProgress, Progress
from .projection import Projection
from .schema import from_mapping, to_mapping

SCHEMA_VERSION = 1
INDEX_NAME = "index.json"
SNIPPET_CHARACTERS = 200
BLOCK_ROWS = 4096
# Binary: candidates for each result that is asked for, and at least. With all-MiniLM-L6-v2 reduced to 192 dimensions on
# SciFact (5,183 documents) 200 candidates cost 0.006 of nDCG@10 against float32, 500 and 1,000 nothing, int8 nothing.
RESCORED, RESCORED_MIN = 50, 500

VectorKind = Literal["float32", "int8", "binary"]
_ARRAYS = {"float32": ("vectors",), "int8": ("codes", "scales"), "binary": ("codes", "scales", "bits")}


@dataclass(frozen=True)
class IndexManifest:
    """The whole of `index.json`."""

    count: int  # documents
    dimension: int  # of the vectors
    vectors: VectorKind  # how they are stored
    variant: str  # name of the bundle's variant
    model_sha256: str  # of the ONNX file that encoded the documents, or encodes the queries
    tokenizer_sha256: str  # of the bundle's tokenizer.json
    documents_by: Literal["bundle", "teacher"]  # whose vectors: the bundle's own, or the teacher's after projection
    files: dict[str, int]  # name -> bytes
    schema_version: int = SCHEMA_VERSION  # of this format
    bm25: Bm25Settings | None = None  # the part of hybrid search; absent without it

    def __post_init__(self) -> None:
        """Refuse what no index can have."""
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"schema version {self.schema_version}, this pocketrank reads {SCHEMA_VERSION}; make the index again"
            )
        if self.count < 1 or self.dimension < 1:
            raise ValueError("count and dimension must be at least 1; make the index again")


@dataclass(frozen=True)
class Hit:
    """One result; `score` is the dot product of unit vectors, `rank` begins with 1."""

    rank: int
    score: float
    id: str
    title: str
    snippet: str


def build_index(
    encoder: Encoder,
    documents: Documents,
    folder: Path,
    vectors: VectorKind = "float32",
    teacher_vectors: np.ndarray | None = None,
    projection: Projection | None = None,
    progress: Progress | None = None,
    hybrid: bool = False,
) -> Path:
    """Encode `documents` and save them as an index in `folder`, whole or not at all; return `folder`.

    With `teacher_vectors` [n, D], in the order of the documents, nothing is encoded: they enter the bundle's space
    through `projection`. Documents are gone through twice and never held together, so memory does not grow with their
    number. `hybrid` adds a BM25 index, for which memory does grow with the number of words.
    Raises `InputError` when there is no document, or when the teacher's vectors do not fit, and `UnavailableError`
    when `hybrid` needs a library that is not installed.
    """
    if not len(documents):
        raise InputError("there is no document to index; name a corpus with text in it")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / INDEX_NAME).is_file())):
        raise InputError(f"{folder} is not empty and no index, it would be lost; choose another folder")
    if teacher_vectors is not None:
        _check_teacher_vectors(teacher_vectors, len(documents), encoder, projection)
    bm25 = Bm25Settings() if hybrid else None
    with atomic_folder(folder) as partial:
        if bm25 is not None:  # first: what it lacks shows before anything is encoded
            write_bm25(partial / BM25_FOLDER, (document.full_text for document in documents), bm25)
        _write_documents(partial, documents)
        writer = _VectorWriter(partial, vectors, len(documents), encoder.dimension)
        with (progress or NoProgress()).task("index", len(documents), "documents") as task:
            for block in _vector_blocks(encoder, documents, teacher_vectors, projection):
                writer.append(block)
                task.advance(len(block))
        writer.close()
        manifest = IndexManifest(
            count=len(documents),
            dimension=encoder.dimension,
            vectors=vectors,
            variant=encoder.variant,
            model_sha256=encoder.model_sha256,
            tokenizer_sha256=encoder.tokenizer_sha256,
            documents_by="bundle" if teacher_vectors is None else "teacher",
            files=folder_sizes(partial),
            bm25=bm25,
        )
        write_json(partial / INDEX_NAME, to_mapping(manifest))
    return folder


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
        self._offsets = self._load("offsets", np.dtype(np.int64), (manifest.count + 1,))
        self._arrays = {name: self._load(name, *_layout(name, manifest)) for name in _ARRAYS[manifest.vectors]}

    @classmethod
    def open(cls, folder: str | Path) -> "DocumentIndex":
        """Open the index in `folder`; raise `InputError` when it is none, or not whole."""
        folder = Path(folder)
        if not (folder / INDEX_NAME).is_file():
            raise InputError(f"{folder} is no index: it has no {INDEX_NAME}; make one with `pocketrank index`")
        manifest = from_mapping(IndexManifest, read_json(folder / INDEX_NAME), str(folder / INDEX_NAME))
        names = ["documents.jsonl", "offsets.npy", *(f"{array}.npy" for array in _ARRAYS[manifest.vectors])]
        names += [f"{BM25_FOLDER}/{name}" for name in BM25_NAMES] if manifest.bm25 else []
        for name in names:
            path = folder / name
            if name not in manifest.files or not path.is_file() or path.stat().st_size != manifest.files[name]:
                raise InputError(f"{path} is missing or not whole; make the index again with `pocketrank index`")
        return cls(folder, manifest)

    def __len__(self) -> int:
        """Return the number of documents."""
        return self.manifest.count

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise `InputError` unless `encoder` is the very model and tokenizer that the index was made with."""
        own = (self.manifest.model_sha256, self.manifest.tokenizer_sha256)
        other = (encoder.model_sha256, encoder.tokenizer_sha256)
        if own != other:
            part = "model" if own[0] != other[0] else "tokenizer"
            raise InputError(
                f"{self.folder} was made with another {part} than {encoder.bundle}, their vectors cannot be compared; "
                "name the index's own bundle, or make the index again with `pocketrank index`"
            )

    @property
    def vectors(self) -> np.ndarray:
        """The document vectors [n, d], mapped from disk; only an index of float32 vectors holds them whole."""
        if self.manifest.vectors != "float32":
            raise InputError(f"{self.folder} holds {self.manifest.vectors} vectors; make a float32 index for this")
        return self._arrays["vectors"]

    def search(self, vector: np.ndarray, k: int = 10) -> list[Hit]:
        """Return the `k` best documents for the query `vector` [d], best first."""
        rows, scores = self.top(vector, k)
        return [self.hit(rank, int(row), float(scores[rank - 1])) for rank, row in enumerate(rows, start=1)]

    def top(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, scores) of the `k` best documents; equal scores in the order of the documents."""
        if k < 1:
            raise InputError(f"k = {k}, at least 1 result is needed; give a larger number")
        if vector.shape != (self.manifest.dimension,) or not np.isfinite(vector).all():
            raise InputError(f"a finite query vector of {self.manifest.dimension} numbers is needed; encode it again")
        query = vector.astype(np.float32)
        if self.manifest.vectors == "float32":
            return _best((self._exact(query, start) for start in self._starts()), k)
        if self.manifest.vectors == "int8":
            return _best((self._quantized(query, start) for start in self._starts()), k)
        candidates, _ = _best(self._agreements(query), max(RESCORED * k, RESCORED_MIN))
        return _best(iter([self._rescored(query, np.sort(candidates))]), k)

    def scores_of(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the scores [m] of the documents at the positions `rows` [m] for the query `vector` [d]."""
        query = vector.astype(np.float32)
        if self.manifest.vectors == "float32":
            return self._arrays["vectors"][rows] @ query
        return self._rescored(query, rows)[1]

    def hit(self, rank: int, row: int, score: float) -> Hit:
        """Return the document at position `row` as a result."""
        with (self.folder / "documents.jsonl").open("rb") as stream:
            stream.seek(int(self._offsets[row]))
            line = stream.read(int(self._offsets[row + 1] - self._offsets[row]))
        try:
            document = json.loads(line)
            return Hit(rank, round(score, 6), document["id"], document["title"], document["snippet"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.folder / 'documents.jsonl'} is damaged at byte {self._offsets[row]}; make the index again"
            ) from None

    def _starts(self) -> range:
        return range(0, self.manifest.count, BLOCK_ROWS)

    def _exact(self, query: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        block = self._arrays["vectors"][start : start + BLOCK_ROWS]
        return np.arange(start, start + len(block)), block @ query

    def _quantized(self, query: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        end = min(start + BLOCK_ROWS, self.manifest.count)
        codes = self._arrays["codes"][start:end].astype(np.float32)
        return np.arange(start, end), (codes @ query) * self._arrays["scales"][start:end]

    def _rescored(self, query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        codes = self._arrays["codes"][rows].astype(np.float32)
        return rows, (codes @ query) * self._arrays["scales"][rows]

    def _agreements(self, query: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bits = pack_signs(query[None])
        for start in self._starts():
            block = self._arrays["bits"][start : start + BLOCK_ROWS]
            differing = np.bitwise_count(block ^ bits).sum(axis=1, dtype=np.int32)
            yield np.arange(start, start + len(block)), -differing

    def _load(self, name: str, kind: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        array = open_array(path)
        if array.dtype != kind or array.shape != shape:
            raise InputError(f"{path} holds {array.dtype} {array.shape}, not {kind} {shape}; make the index again")
        return array


def quantize_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes int8 [n, d], scales float32 [n]) with vector ≈ code * scale; zero vectors get scale 0."""
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    codes = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def pack_signs(vectors: np.ndarray) -> np.ndarray:
    """Return one bit a dimension, set where it is positive: uint64 [n, ceil(d / 64)]."""
    packed = np.packbits(vectors > 0, axis=1)
    missing = -packed.shape[1] % 8
    return np.pad(packed, ((0, 0), (0, missing))).view("<u8")


def _best(blocks: Iterator[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and scores of the `k` highest scores over all blocks, highest first, then by row.

    Blocks come in the order of their rows. Scores that are not finite (a damaged file) rank last.
    """
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for block_rows, block_scores in blocks:
        safe = np.nan_to_num(block_scores.astype(np.float32), nan=-np.inf, posinf=-np.inf)
        rows, scores = np.concatenate([rows, block_rows]), np.concatenate([scores, safe])
        if len(rows) > k:
            threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
            above = np.flatnonzero(scores > threshold)
            equal = np.flatnonzero(scores == threshold)[: k - len(above)]  # the earliest of the equal ones
            kept = np.sort(np.concatenate([above, equal]))
            rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _layout(name: str, manifest: IndexManifest) -> tuple[np.dtype, tuple[int, ...]]:
    count, dimension = manifest.count, manifest.dimension
    return {
        "vectors": (np.dtype(np.float32), (count, dimension)),
        "codes": (np.dtype(np.int8), (count, dimension)),
        "scales": (np.dtype(np.float32), (count,)),
        "bits": (np.dtype(np.uint64), (count, -(-dimension // 64))),
    }[name]


class _VectorWriter:
    """Writes blocks of vectors into the arrays of one kind of index."""

    def __init__(self, folder: Path, kind: VectorKind, count: int, dimension: int) -> None:
        layout = IndexManifest(count, dimension, kind, "", "", "", "bundle", {})
        self._arrays: dict[str, np.memmap] = {}
        for name in _ARRAYS[kind]:
            dtype, shape = _layout(name, layout)
            path = folder / f"{name}.npy"
            self._arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        self._count, self._row = count, 0

    def append(self, block: np.ndarray) -> None:
        rows = slice(self._row, self._row + len(block))
        self._row += len(block)
        if self._row > self._count:
            raise InputError(f"{self._count} documents were counted and more were read; the corpus changed, run again")
        if "vectors" in self._arrays:
            self._arrays["vectors"][rows] = block
            return
        self._arrays["codes"][rows], self._arrays["scales"][rows] = quantize_rows(block)
        if "bits" in self._arrays:
            self._arrays["bits"][rows] = pack_signs(block)

    def close(self) -> None:
        if self._row != self._count:
            raise InputError(f"{self._count} documents gave {self._row} vectors; the corpus changed, run again")
        for array in self._arrays.values():
            array.flush()
        self._arrays.clear()


def _write_documents(folder: Path, documents: Documents) -> None:
    offsets = np.zeros(len(documents) + 1, dtype=np.int64)
    with (folder / "documents.jsonl").open("wb") as stream:
        for row, document in enumerate(documents):
            if row == len(documents):
                raise InputError("the corpus grew while it was read; run again")
            snippet = " ".join(document.text[: 2 * SNIPPET_CHARACTERS].split())[:SNIPPET_CHARACTERS]
            record = {"id": document.id, "title": document.title, "snippet": snippet}
            stream.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")
            offsets[row + 1] = stream.tell()
    np.save(folder / "offsets.npy", offsets, allow_pickle=False)


def _vector_blocks(
    encoder: Encoder,
    documents: Documents,
    teacher_vectors: np.ndarray | None,
    projection: Projection | None,
) -> Iterator[np.ndarray]:
    if teacher_vectors is None:
        prompt = encoder.prompts.document
        yield from encoder.encode_stream(prompt + document.full_text for document in documents)
    elif projection is not None:
        for start in range(0, len(teacher_vectors), BLOCK_ROWS):
            yield projection.apply(teacher_vectors[start : start + BLOCK_ROWS])


def _check_teacher_vectors(vectors: np.ndarray, count: int, encoder: Encoder, projection: Projection | None) -> None:
    if projection is None:
        raise InputError("teacher vectors need the bundle's projection; use a bundle with projection.safetensors")
    if projection.matrix.shape[1] != encoder.dimension:
        raise InputError(
            f"the projection ends in {projection.matrix.shape[1]} dimensions, the bundle has {encoder.dimension}; "
            "use the projection of the same bundle"
        )
    if vectors.ndim != 2 or len(vectors) != count or not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(
            f"the vectors are {vectors.dtype} {vectors.shape}, floats for {count} documents are needed; "
            "give one row a document, in the order of the corpus"
        )
