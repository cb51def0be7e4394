"""An index of documents: vectors, titles and the beginning of each text, in a folder that is searched from disk.

    index.json        what made it, how many documents, how the vectors are kept, size and SHA-256 of every file
    documents.jsonl   id, title and snippet of each document, a line each
    offsets.npy       int64 [n + 1], where the lines begin
    vectors.npy       float32 [n, d]                                   vectors = "float32"
    codes.npy         int8 [n, d] and scales.npy, float32 [n]          vectors = "int8": vector = code * scale
    bits.npy          uint64 [n, ceil(d / 64)], signs of the vectors   vectors = "binary", besides codes and scales
    bm25/             which words are in which documents               only with `hybrid`, see `runtime/search/bm25.py`

`runtime/search/stored_vectors.py` says how vectors are stored and searched.

The last line of `index.json` is the SHA-256 of all lines above it. An index is checked when it is opened: the digest of
`index.json`, the size of every file, the order of the offsets, and of an index of at most 16 MB (about 10,000
documents) every byte, which takes some hundredths of a second. `pocketrank verify INDEX` checks every byte of any.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..corpus import Documents
from ..encoder import Encoder
from ..errors import InputError, VerificationError
from ..files import FILE_SYSTEMS_OWN, atomic_folder, is_half_replaced, read_bytes, require_space, write_bytes
from ..integrity.listed_files import FileEntry, checked_file, list_entries, sized_file
from ..integrity.sealed import parse_sealed, sealed_bytes
from ..progress import NoProgress, Progress
from ..projection import Projection
from ..schema import from_mapping, to_mapping
from .arrays import open_array
from .bm25 import FOLDER as BM25_FOLDER
from .bm25 import NAMES as BM25_NAMES
from .bm25 import Bm25Settings, collection_language, write_bm25
from .stored_vectors import BLOCK_ROWS, StoredVectors, VectorKind, array_layout, store_vectors

SCHEMA_VERSION = 2
INDEX_NAME = "index.json"
ADVICE = "make the index again with `pocketrank index`"
CHECKED_WHOLE = 16_000_000  # bytes; the files of an index up to this size are hashed when it is opened
SNIPPET_CHARACTERS = 200


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
    files: dict[str, FileEntry]  # every other file, by name relative to the index
    schema_version: int = SCHEMA_VERSION  # of this format
    bm25: Bm25Settings | None = None  # the part of hybrid search; absent without it
    index_sha256: str = ""  # last line of the file: the digest of the lines above it

    def __post_init__(self) -> None:
        """Refuse what no index can have."""
        if self.count < 1 or self.dimension < 1:
            raise ValueError("count and dimension must be at least 1; make the index again")
        missing = [name for name in self.parts() if name not in self.files]
        if missing:
            raise ValueError(f"{missing[0]} is not among the files; make the index again")

    def parts(self) -> list[str]:
        """Return the names of the files that an index of this kind has."""
        arrays = array_layout(self.vectors, self.count, self.dimension)
        names = ["documents.jsonl", "offsets.npy", *(f"{array}.npy" for array in arrays)]
        return names + [f"{BM25_FOLDER}/{name}" for name in BM25_NAMES] if self.bm25 else names

    @property
    def size(self) -> int:
        """The bytes of all files but `index.json`."""
        return sum(entry.bytes for entry in self.files.values())


def read_index_manifest(folder: Path) -> IndexManifest:
    """Read and check `index.json` of the index in `folder`; the other files are not looked at.

    Raises `InputError` where there is none or another schema version, `VerificationError` where it is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise InputError(f"{folder} is no index: it has no {INDEX_NAME}; make one with `pocketrank index`")
    mapping = parse_sealed(read_bytes(path), path, "index_sha256", SCHEMA_VERSION, ADVICE)
    return from_mapping(IndexManifest, mapping, str(path))


@dataclass(frozen=True)
class Hit:
    """One result; `score` is the dot product of unit vectors, `rank` begins with 1."""

    rank: int
    score: float
    id: str
    title: str
    snippet: str


@dataclass(frozen=True)
class TeacherVectors:
    """The teacher's vectors of all documents, floats [n, D] in the order of the corpus, and the bundle's projection.

    Their documents need not be encoded; `Projection.apply` takes them into the bundle's space.
    """

    vectors: np.ndarray
    projection: Projection

    def check(self, count: int, dimension: int) -> None:
        """Raise `InputError` unless there are vectors of `count` documents and the projection ends in `dimension`."""
        end, vectors = self.projection.matrix.shape[1], self.vectors
        if end != dimension:
            raise InputError(
                f"the projection ends in {end} dimensions, the bundle has {dimension}; "
                "use the projection of the same bundle"
            )
        if vectors.ndim != 2 or len(vectors) != count or not np.issubdtype(vectors.dtype, np.floating):
            raise InputError(
                f"the vectors are {vectors.dtype} {vectors.shape}, floats for {count} documents are needed; "
                "give one row a document, in the order of the corpus"
            )

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the projected vectors, float32 [up to 4,096, d]."""
        for start in range(0, len(self.vectors), BLOCK_ROWS):
            yield self.projection.apply(self.vectors[start : start + BLOCK_ROWS])


def build_index(
    encoder: Encoder,
    documents: Documents,
    folder: Path,
    *,
    vectors: VectorKind = "float32",
    teacher: TeacherVectors | None = None,
    progress: Progress | None = None,
    hybrid: bool = False,
) -> Path:
    """Encode `documents` and save them as an index in `folder`, whole or not at all; return `folder`.

    With `teacher` nothing is encoded: the documents have the teacher's vectors. Documents are read twice and never held
    together, so memory does not grow with their number. `hybrid` adds a BM25 index, for which memory does grow with the
    number of words.
    Raises `InputError` when there is no document, or when the teacher's vectors do not fit, and `UnavailableError`
    when `hybrid` needs a library that is not installed.
    """
    count = len(documents)
    if not count:
        raise InputError("there is no document to index; name a corpus with text in it")
    _check_target(folder)
    if teacher is not None:
        teacher.check(count, encoder.dimension)
    texts = (document.full_text for document in documents)
    bm25 = Bm25Settings(stop_words=collection_language(texts)) if hybrid else None
    require_space(folder, count * encoder.dimension * (4 if vectors == "float32" else 1), "the index")
    with atomic_folder(folder, INDEX_NAME) as partial:
        if bm25 is not None:  # first: what it lacks shows before anything is encoded
            write_bm25(partial / BM25_FOLDER, (document.full_text for document in documents), bm25)
        _write_documents(partial, documents)
        writer = _VectorWriter(partial, vectors, count, encoder.dimension)
        prompt = encoder.prompts.document
        texts = (prompt + document.full_text for document in documents)
        blocks = encoder.encode_stream(texts) if teacher is None else teacher.blocks()
        with (progress or NoProgress()).task("index", count, "documents") as task:
            for block in blocks:
                writer.append(block)
                task.advance(len(block))
        writer.close()
        manifest = IndexManifest(
            count=count,
            dimension=encoder.dimension,
            vectors=vectors,
            variant=encoder.variant,
            model_sha256=encoder.model_sha256,
            tokenizer_sha256=encoder.tokenizer_sha256,
            documents_by="bundle" if teacher is None else "teacher",
            files=list_entries(partial),
            bm25=bm25,
        )
        write_bytes(partial / INDEX_NAME, sealed_bytes(to_mapping(manifest), "index_sha256"))
    return folder


def _check_target(folder: Path) -> None:
    """Refuse a folder whose files would be lost: neither an index nor what a killed one left of it."""
    there = [path for path in folder.iterdir() if path.name != FILE_SYSTEMS_OWN] if folder.is_dir() else []
    if there and not (folder / INDEX_NAME).is_file() and not is_half_replaced(folder):
        raise InputError(f"{folder} is not empty and no index, it would be lost; choose another folder")


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
        self._offsets = offsets = self._load("offsets", np.dtype(np.int64), (manifest.count + 1,))
        end = manifest.files["documents.jsonl"].bytes
        if offsets[0] != 0 or offsets[-1] != end or not (offsets[1:] > offsets[:-1]).all():
            raise VerificationError(f"{folder / 'offsets.npy'} is damaged: it does not divide the documents; {ADVICE}")
        layout = array_layout(manifest.vectors, manifest.count, manifest.dimension)
        self.stored = StoredVectors(manifest.vectors, {name: self._load(name, *form) for name, form in layout.items()})

    @classmethod
    def open(cls, folder: str | Path) -> "DocumentIndex":
        """Open the index in `folder`, and check it as the head of the module says.

        Raises `InputError` when it is none or of another schema version, `VerificationError` when it is damaged.
        """
        folder = Path(folder)
        manifest = read_index_manifest(folder)
        check = checked_file if manifest.size <= CHECKED_WHOLE else sized_file
        for name in manifest.parts():
            check(folder, name, manifest.files[name], ADVICE)
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
        return self.stored.vectors

    def search(self, vector: np.ndarray, k: int = 10) -> list[Hit]:
        """Return the `k` best documents for the query `vector` [d], best first."""
        rows, scores = self.top(vector, k)
        return [self.hit(rank, int(row), float(scores[rank - 1])) for rank, row in enumerate(rows, start=1)]

    def top(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, scores) of the `k` best documents, as `StoredVectors.top` does."""
        return self.stored.top(vector, k)

    def hit(self, rank: int, row: int, score: float) -> Hit:
        """Return the document at position `row` as a result."""
        if not math.isfinite(score):
            raise VerificationError(f"{self.folder} is damaged: document {row} has the score {score}; {ADVICE}")
        with (self.folder / "documents.jsonl").open("rb") as stream:
            stream.seek(int(self._offsets[row]))
            line = stream.read(int(self._offsets[row + 1] - self._offsets[row]))
        try:
            document = json.loads(line)
            return Hit(rank, round(score, 6), document["id"], document["title"], document["snippet"])
        except (ValueError, KeyError, TypeError):
            path = self.folder / "documents.jsonl"
            raise VerificationError(f"{path} is damaged at byte {self._offsets[row]}; {ADVICE}") from None

    def _load(self, name: str, kind: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        array = open_array(path)
        if array.dtype != kind or array.shape != shape:
            raise VerificationError(f"{path} holds {array.dtype} {array.shape}, not {kind} {shape}; {ADVICE}")
        return array


class _VectorWriter:
    """Writes blocks of vectors into the arrays of one kind of index."""

    def __init__(self, folder: Path, kind: VectorKind, count: int, dimension: int) -> None:
        self._arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            for name, (dtype, shape) in array_layout(kind, count, dimension).items()
        }
        self._kind: VectorKind = kind
        self._count, self._row = count, 0

    def append(self, block: np.ndarray) -> None:
        rows = slice(self._row, self._row + len(block))
        self._row += len(block)
        if self._row > self._count:
            raise InputError(f"{self._count} documents were counted and more were read; the corpus changed, run again")
        for name, values in store_vectors(block, self._kind).items():
            self._arrays[name][rows] = values

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
