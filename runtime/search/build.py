"""Make an index: cut documents into passages, encode each, and write all of it whole or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..documents.document import Document, Documents
from ..encoder import Encoder
from ..errors import InputError
from ..files import FILE_SYSTEMS_OWN, atomic_folder, is_half_replaced, require_space, write_bytes
from ..integrity.listed_files import list_entries
from ..integrity.sealed import sealed_bytes
from ..passages.cutter import default_cutting
from ..progress import NoProgress, Progress
from ..projection import Projection
from ..schema import to_mapping
from .bm25 import FOLDER as BM25_FOLDER
from .bm25 import Bm25Settings, collection_language, write_bm25
from .entries import entry_texts
from .index import INDEX_NAME, IndexManifest
from .segment_writer import SegmentWriter
from .stored_vectors import BLOCK_ROWS, VectorKind


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


def build_index(  # noqa: PLR0913  what an index holds, by keyword
    encoder: Encoder,
    documents: Documents,
    folder: Path,
    *,
    vectors: VectorKind = "float32",
    teacher: TeacherVectors | None = None,
    progress: Progress | None = None,
    hybrid: bool = False,
    passages: bool = True,
) -> Path:
    """Encode `documents` and save them as an index in `folder`, whole or not at all; return `folder`.

    Documents are cut into passages, each of which has a vector; without `passages` a document has one, that of its
    beginning. With `teacher` nothing is cut or encoded: the documents have the teacher's vectors. Documents are never
    held together; memory is twelve bytes a passage. `hybrid` adds a BM25 index, for which memory does grow with the
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
    bm25 = _bm25_settings(documents) if hybrid else None
    require_space(folder, count * encoder.dimension * (4 if vectors == "float32" else 1), "the index")
    cutting = default_cutting(encoder.max_length) if passages and teacher is None else None
    with atomic_folder(folder, INDEX_NAME) as partial:
        with (
            closing(SegmentWriter(partial, encoder, vectors, cutting)) as writer,
            (progress or NoProgress()).task("index", count, "documents") as task,
        ):
            if teacher is None:
                writer.encode(_counted(documents, count), task)
            else:
                writer.take(_counted(documents, count), teacher.blocks(), task)
        if bm25 is not None:
            whole = (document.full_text for document in documents)
            write_bm25(partial / BM25_FOLDER, entry_texts(partial) if cutting else whole, bm25)
        tokens, tokens_read = writer.entries.tokens
        manifest = IndexManifest(
            count=len(writer.entries),
            documents=count,
            dimension=encoder.dimension,
            vectors=vectors,
            variant=encoder.variant,
            model_sha256=encoder.model_sha256,
            tokenizer_sha256=encoder.tokenizer_sha256,
            documents_by="bundle" if teacher is None else "teacher",
            files=list_entries(partial),
            space=encoder.space,
            cutting=cutting,
            tokens=tokens,
            tokens_read=tokens_read,
            bm25=bm25,
        )
        write_bytes(partial / INDEX_NAME, sealed_bytes(to_mapping(manifest), "index_sha256"))
    return folder


def _bm25_settings(documents: Documents) -> Bm25Settings:
    return Bm25Settings(stop_words=collection_language(document.full_text for document in documents))


def _check_target(folder: Path) -> None:
    """Refuse a folder whose files would be lost: neither an index nor what a killed one left of it."""
    there = [path for path in folder.iterdir() if path.name != FILE_SYSTEMS_OWN] if folder.is_dir() else []
    if there and not (folder / INDEX_NAME).is_file() and not is_half_replaced(folder):
        raise InputError(f"{folder} is not empty and no index, it would be lost; choose another folder")


def _counted(documents: Iterable[Document], count: int) -> Iterator[Document]:
    """Yield `documents`; raise `InputError` unless there are `count`."""
    read = 0
    for document in documents:
        if read == count:
            raise InputError("the corpus grew while it was read; run again")
        read += 1
        yield document
    if read != count:
        raise InputError(f"{count} documents were counted and {read} read; the corpus changed, run again")
