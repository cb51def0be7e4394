"""Stage `teacher`: the teacher's vectors of documents, queries and training texts, and their reduction."""

import json
import os
from array import array
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import write_json
from ..corpus.output import CorpusOutput
from ..queries.output import QueriesOutput
from ..stage import StageContext
from .bi_encoder import LoadedTeacher, Precision, Role, reading_fingerprint
from .load import load_teacher
from .output import CrossEncoderOutput, TeacherOutput
from .pca import fit_reduction, write_reduction
from .selection import selected_teacher
from .source import TeacherFiles
from .vector_shards import Encoded, Shard, VectorReader, VectorWriter, cut_shards, digest, encode_shards


def run_teacher(context: StageContext) -> None:
    """Encode `corpus.jsonl`, `queries.jsonl` and `training.jsonl`; fit the projection on the training texts."""
    settings = selected_teacher(context)
    context.progress.note("  loading the teacher")
    teacher = load_teacher(settings)
    corpus, queries, output = CorpusOutput.of(context), QueriesOutput.of(context), TeacherOutput(context.output)
    known = _KnownDocuments(corpus.documents_file)
    places = _Places(queries.training_file, known, teacher.same_for_both_roles)
    fingerprint = reading_fingerprint(teacher)
    shards = shards_folder(context.scratch)
    shards.mkdir(parents=True, exist_ok=True)
    whole: Precision = "bf16" if settings.precision == "bf16" else "fp32"
    generated: Precision = "fp32" if settings.precision == "fp32" else "bf16"

    def cut(texts: Iterator[str], role: Role, precision: Precision) -> Iterator[Shard]:
        return cut_shards(texts, role, fingerprint, shards, settings.shard_texts, precision)

    paths, encoded = encode_shards(
        teacher,
        [
            lambda: cut(document_texts(corpus.documents_file), "document", whole),
            lambda: cut(places.texts("document"), "document", generated),
            lambda: cut(places.texts("query"), "query", generated),
            lambda: cut(_query_texts(corpus.queries_file), "query", whole),
        ],
        settings.workers,
        context.progress,
    )
    _join(paths[0], output.documents_file, known.count, teacher.dimension)
    query_count = sum(1 for _ in _query_texts(corpus.queries_file))
    _join(paths[3], output.queries_file, query_count, teacher.dimension)
    _join(paths[1], context.scratch / "own-documents.npy", places.counts["document"], teacher.dimension)
    _join(paths[2], context.scratch / "own-queries.npy", places.counts["query"], teacher.dimension)
    places.assemble(
        output.training_file,
        {
            "document": VectorReader(context.scratch / "own-documents.npy"),
            "query": VectorReader(context.scratch / "own-queries.npy"),
            "known": VectorReader(output.documents_file),
        },
    )
    reduction = fit_reduction(VectorReader(output.training_file).blocks(), settings.dimension, settings.centre)
    write_reduction(output.projection_file, reduction)
    _write_records(context, teacher, reduction.explained, reduction.matrix.shape[1], fingerprint, places, encoded)


def shards_folder(work: Path) -> Path:
    """Return where shards of vectors are kept: for this run alone, or in the folder that `POCKETRANK_VECTORS` names.

    Shards are named by teacher and texts, so that runs can share a folder: texts that another recipe has had encoded
    are not encoded again. Other versions of the libraries have a folder of their own there.
    """
    shared = os.environ.get("POCKETRANK_VECTORS", "")
    versions = [f"{name}-{version(name)}" for name in ("torch", "transformers")]
    return Path(shared, *versions) if shared else work / "shards"


def document_texts(path: Path) -> Iterator[str]:
    """Yield a document's text, title first, for every line of a `corpus.jsonl`, without holding the file."""
    for value in _objects(path):
        yield f"{value.get('title') or ''} {value['text']}".strip()


def _query_texts(path: Path) -> Iterator[str]:
    for value in _objects(path):
        yield value["text"]


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if not isinstance(value, dict) or not isinstance(value.get("text"), str):
                    raise InputError(
                        f'{path}, line {number}: an object with "text" is needed; run the stage before again'
                    )
                yield value
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage before again") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON Lines in UTF-8; run the stage before again") from None


def target_text(value: dict[str, Any]) -> str:
    """Return the text whose vector a training text is trained towards (`queries.noise_target`)."""
    return value.get("target") or value["text"]


class _KnownDocuments:
    """Finds the row of a text among the documents, in 16 bytes a document."""

    def __init__(self, path: Path) -> None:
        hashes = np.fromiter((digest(text) for text in document_texts(path)), np.uint64)
        if not len(hashes):
            raise InputError(f"{path} holds no documents; check the corpus")
        self.count = len(hashes)
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]

    def row(self, text: str) -> int:
        """Return the first row that holds this text, or -1."""
        wanted = np.uint64(digest(text))
        place = int(np.searchsorted(self._hashes, wanted))
        return int(self._rows[place]) if place < self.count and self._hashes[place] == wanted else -1


class _Places:
    """Where the vector of each training text comes from: encoded for it, or taken from a whole document."""

    def __init__(self, path: Path, known: _KnownDocuments, same_prompt: bool) -> None:
        self._path = path
        kinds, rows = bytearray(), array("i")  # five bytes a text
        self.counts = {"document": 0, "query": 0, "known": 0}
        for value in _objects(path):
            role = "query" if value.get("role") == "query" else "document"
            row = known.row(target_text(value)) if role == "document" or same_prompt else -1
            kind = "known" if row >= 0 else role
            rows.append(row if row >= 0 else self.counts[kind])
            self.counts[kind] += 1
            kinds.append(_KINDS.index(kind))
        if not kinds:
            raise InputError(f"{path} holds no training texts; check [queries] in the recipe")
        self._kinds, self._rows = np.frombuffer(bytes(kinds), np.uint8), np.array(rows, np.int32)

    def texts(self, kind: str) -> Iterator[str]:
        """Yield the training texts of one kind in order."""
        wanted = _KINDS.index(kind)
        for index, value in enumerate(_objects(self._path)):
            if self._kinds[index] == wanted:
                yield target_text(value)

    def assemble(self, path: Path, readers: dict[str, VectorReader], block_rows: int = 4096) -> None:
        """Write the vectors of all training texts in order."""
        dimension = readers["known"].dimension
        writer = VectorWriter(path, len(self._kinds), dimension)
        for first in range(0, len(self._kinds), block_rows):
            kinds = self._kinds[first : first + block_rows]
            rows = self._rows[first : first + block_rows]
            block = np.empty((len(kinds), dimension), np.float32)
            for code, kind in enumerate(_KINDS):
                for place in np.flatnonzero(kinds == code):
                    block[place] = readers[kind].block(int(rows[place]), 1)[0]
            writer.write(block.tobytes())
        writer.close()


_KINDS = ("document", "query", "known")


def _join(shards: list[Path], path: Path, rows: int, dimension: int) -> None:
    writer = VectorWriter(path, rows, dimension)
    for shard in shards:
        writer.write(shard.read_bytes())
    writer.close()


def _licences(context: StageContext, files: TeacherFiles) -> dict[str, str]:
    """Return the licences of all that the student learns from: the teacher's, and a cross-encoder's."""
    record = CrossEncoderOutput.of(context).record() if CrossEncoderOutput.stage in context.inputs else {}
    return dict(files.licences) | {
        f"{name} of {record['id']}": licence for name, licence in record.get("licences", {}).items()
    }


def _write_records(
    context: StageContext,
    teacher: LoadedTeacher,
    explained: float,
    dimension: int,
    fingerprint: str,
    places: _Places,
    encoded: Encoded,
) -> None:
    files = teacher.files
    write_json(
        TeacherOutput(context.output).record_file,
        {
            "id": files.name,
            "revision": files.revision,
            "sha256": files.sha256,
            "fingerprint": fingerprint,
            "licences": _licences(context, files),
            "dimension": teacher.dimension,
            "reduced_dimension": dimension,
            "centred": context.recipe.teacher.centre,
            "explained_variance": round(explained, 6),
            "max_length": teacher.max_length,
            "pooling": teacher.pooling,
            "modules": teacher.modules,
            "precision": context.recipe.teacher.precision,
            "prompts": dict(teacher.prompts),
            **({"several": teacher.parts} if teacher.parts else {}),
            "training_texts": {
                "encoded": places.counts["document"] + places.counts["query"],
                "taken_from_documents": places.counts["known"],
            },
        },
    )
    seconds = max(encoded.seconds, 1e-9)
    write_json(
        context.output / "speed.json",
        {
            "texts": encoded.texts,
            "resumed_texts": encoded.resumed,
            "tokens": encoded.tokens,
            "seconds": round(encoded.seconds, 3),
            "texts_per_second": round(encoded.texts / seconds, 1),
            "tokens_per_second": round(encoded.tokens / seconds, 1),
        },
    )
