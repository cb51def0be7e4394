"""Stage `teacher`: the teacher's vectors of documents, queries and training texts, and their reduction."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...runtime.documents.json_files import read_json_lines
from ...runtime.errors import InputError
from ...runtime.files import read_bytes, sha256_bytes, write_bytes, write_json
from ..corpus.output import CorpusOutput
from ..queries.output import QueriesOutput
from ..settings import TeacherSettings
from ..stage import StageContext
from .computation import Computation, choose_computation
from .ensemble import TeacherEnsemble, balance_texts
from .load import load_teacher, members, processes, servers
from .output import CrossEncoderOutput, TeacherOutput
from .protocol import EmbeddingTeacher, Precision, Role, TeacherIdentity
from .selection import selected_teacher, surroundings
from .vectors.cluster import LOCAL
from .vectors.files import VectorReader, VectorWriter, read_shards
from .vectors.kept_space import kept_space
from .vectors.pca import Reduction, explained_share, fit_reduction, write_reduction
from .vectors.shards import Encoded, Shard, cut_shards, encode_shards, shards_folder

_MEASURED_DOCUMENTS = 512  # of which some are encoded to choose device and precision


def run_teacher(context: StageContext) -> None:
    """Encode `corpus.jsonl`, `queries.jsonl` and `training.jsonl`; fit the projection on the training texts.

    Where the recipe keeps the space of an older bundle, the projection is that bundle's, byte for byte.
    """
    settings = selected_teacher(context)
    context.progress.note("  loading the teacher")
    teacher = load_teacher(settings, surroundings(context))
    if teacher.first:
        context.progress.note(f"  prompts of {teacher.first.files.name}: {teacher.first.prompts_in_words}")
    if isinstance(teacher, TeacherEnsemble) and settings.balance == "spread":
        teacher = _balanced(context, teacher)
    space = kept_space(settings)
    if space is not None:
        space.check_settings(settings)
        space.check_teacher(teacher.files, teacher.dimension, teacher.parts)
        context.progress.note(f"  keeps the vector space of {space.bundle}: {space.manifest.space[:12]}")
    output = TeacherOutput(context.output)
    known = _KnownDocuments(CorpusOutput.of(context).documents_file)
    sources = _VectorSources(QueriesOutput.of(context).training_file, known, teacher.same_for_both_roles)
    computation = _computation(context, settings, teacher)
    for server in servers(teacher):
        context.progress.note(f"  {server.bill(_all_texts(context, sources))}")
    encoded = _encode(context, settings, computation, teacher, sources)
    for server in servers(teacher):
        context.progress.note(f"  {server.bill_paid}")
    vectors = VectorReader(output.training_file)
    if space is None:
        reduction = fit_reduction(vectors.blocks(), settings.dimension, settings.centre)
        write_reduction(output.projection_file, reduction)
    else:
        kept = space.reduction()
        reduction = replace(kept, explained=explained_share(kept, vectors.blocks()))
        write_bytes(output.projection_file, read_bytes(space.projection))
    write_json(output.record_file, _record(context, teacher, computation, reduction, sources.counts))
    write_json(context.output / "speed.json", encoded.speed())


def _all_texts(context: StageContext, sources: "_VectorSources") -> Iterator[tuple[str, Role]]:
    """Yield every text that the teacher encodes, with its role."""
    corpus = CorpusOutput.of(context)
    for text in document_texts(corpus.documents_file):
        yield text, "document"
    for role in ("document", "query"):
        for text in sources.texts(role):
            yield text, role
    for text in _query_texts(corpus.queries_file):
        yield text, "query"


def _computation(context: StageContext, settings: TeacherSettings, teacher: EmbeddingTeacher) -> Computation:
    """Let the teacher compute as the recipe says, or as fast as this machine can, which is said."""
    if teacher.first is None:  # it computes elsewhere, or in a format of its own
        return Computation("cpu", "fp32")
    documents = list(islice(document_texts(CorpusOutput.of(context).documents_file), _MEASURED_DOCUMENTS))
    measured = teacher if all(member.first for member in members(teacher)) else teacher.first
    computation, seconds = choose_computation(settings, measured, documents, context.scratch / "computation.json")
    teacher.compute_on(computation.device)
    if "auto" in (settings.device, settings.precision):
        measured = ", ".join(f"{name} {least * 1000:.0f} ms" for name, least in seconds.items())
        context.progress.note(f"  computes in {computation}" + (f" ({measured})" if measured else " (as it began)"))
    return computation


def _balanced(context: StageContext, teacher: TeacherEnsemble) -> TeacherEnsemble:
    """Weigh the teachers by how far their cosines spread."""
    documents = list(document_texts(CorpusOutput.of(context).documents_file))
    if len(documents) < 2:
        return teacher  # there is nothing to rank
    balanced = teacher.balanced(*balance_texts(QueriesOutput.of(context).training_texts(), documents))
    spreads = ", ".join(f"{part['id']} {part['cosine_spread']:g}" for part in balanced.parts)
    context.progress.note(f"  cosines spread by {spreads}: taken as {balanced.files.name}")
    return balanced


def _encode(
    context: StageContext,
    settings: TeacherSettings,
    computation: Computation,
    teacher: EmbeddingTeacher,
    sources: "_VectorSources",
) -> Encoded:
    """Write `documents.npy`, `queries.npy` and `training.npy`."""
    corpus, output = CorpusOutput.of(context), TeacherOutput(context.output)
    shards = shards_folder(context.scratch)
    shards.mkdir(parents=True, exist_ok=True)
    whole: Precision = "bf16" if computation.precision == "bf16" else "fp32"
    generated: Precision = "fp32" if computation.precision == "fp32" else "bf16"

    def cut(texts: Iterator[str], role: Role, precision: Precision) -> Iterator[Shard]:
        return cut_shards(texts, role, teacher.fingerprint, shards, settings.shard_texts, precision)

    paths, encoded = encode_shards(
        teacher,
        [
            lambda: cut(document_texts(corpus.documents_file), "document", whole),
            lambda: cut(sources.texts("document"), "document", generated),
            lambda: cut(sources.texts("query"), "query", generated),
            lambda: cut(_query_texts(corpus.queries_file), "query", whole),
        ],
        processes(settings) if computation.device == "cpu" else 1,  # others are not shared among processes
        context.progress,
        on=context.on if computation.device == "cpu" and teacher.first else LOCAL,  # a server computes by itself
    )
    query_count = sum(1 for _ in _query_texts(corpus.queries_file))
    scratch = {role: context.scratch / f"training-{role}.npy" for role in ("document", "query")}
    files = (output.documents_file, scratch["document"], scratch["query"], output.queries_file)
    counts = (sources.documents, sources.counts["document"], sources.counts["query"], query_count)
    for shard_paths, path, rows in zip(paths, files, counts, strict=True):
        _join(shard_paths, path, rows, teacher.dimension)
    readers = {kind: VectorReader(path) for kind, path in (scratch | {"known": output.documents_file}).items()}
    sources.assemble(output.training_file, readers)
    return encoded


def document_texts(path: Path) -> Iterator[str]:
    """Yield a document's text, title first, for every line of a `corpus.jsonl`, without holding the file."""
    for value in _objects(path):
        yield f"{value.get('title') or ''} {value['text']}".strip()


def _query_texts(path: Path) -> Iterator[str]:
    for value in _objects(path):
        yield value["text"]


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for number, value in read_json_lines(path):
        if not isinstance(value.get("text"), str):
            raise InputError(f'{path}, line {number}: an object with "text" is needed; run the stage before again')
        yield value


def target_text(value: dict[str, Any]) -> str:
    """Return the text whose vector a training text is trained towards (`queries.noise_target`)."""
    return value.get("target") or value["text"]


class _KnownDocuments:
    """Finds the row of a text among the documents, in 16 bytes a document."""

    def __init__(self, path: Path) -> None:
        hashes = np.fromiter((_hash(text) for text in document_texts(path)), np.uint64)
        if not len(hashes):
            raise InputError(f"{path} holds no documents; check the corpus")
        self.count = len(hashes)
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]

    def row(self, text: str) -> int:
        """Return the first row that holds this text, or -1."""
        wanted = np.uint64(_hash(text))
        position = int(np.searchsorted(self._hashes, wanted))
        return int(self._rows[position]) if position < self.count and self._hashes[position] == wanted else -1


def _hash(text: str) -> int:
    """Return 64 bits of the SHA-256 of a text."""
    return int(sha256_bytes(text.encode())[:16], 16)


class _VectorSources:
    """Where the vector of each training text comes from: encoded for it, or taken from a whole document."""

    _KINDS: ClassVar[tuple[str, ...]] = ("document", "query", "known")

    def __init__(self, path: Path, known: _KnownDocuments, same_for_both_roles: bool) -> None:
        """Read a `training.jsonl`; raise `InputError` when it is empty."""
        self._path, self.documents = path, known.count
        kinds, rows = bytearray(), array("i")  # five bytes a text
        self.counts = dict.fromkeys(self._KINDS, 0)
        for value in _objects(path):
            role = "query" if value.get("role") == "query" else "document"
            row = known.row(target_text(value)) if role == "document" or same_for_both_roles else -1
            kind = "known" if row >= 0 else role
            rows.append(row if row >= 0 else self.counts[kind])
            self.counts[kind] += 1
            kinds.append(self._KINDS.index(kind))
        if not kinds:
            raise InputError(f"{path} holds no training texts; check [queries] in the recipe")
        self._kinds, self._rows = np.frombuffer(bytes(kinds), np.uint8), np.array(rows, np.int32)

    def texts(self, role: Role) -> Iterator[str]:
        """Yield the training texts of one role that are encoded, in order."""
        wanted = self._KINDS.index(role)
        for index, value in enumerate(_objects(self._path)):
            if self._kinds[index] == wanted:
                yield target_text(value)

    def assemble(self, path: Path, readers: dict[str, VectorReader], block_rows: int = 4096) -> None:
        """Write the vectors of all training texts in order, float32 [training texts, dimension]."""
        dimension = readers["known"].dimension
        writer = VectorWriter(path, len(self._kinds), dimension)
        for first in range(0, len(self._kinds), block_rows):
            kinds = self._kinds[first : first + block_rows]
            rows = self._rows[first : first + block_rows]
            block = np.empty((len(kinds), dimension), np.float32)
            for position, (code, row) in enumerate(zip(kinds, rows, strict=True)):
                block[position] = readers[self._KINDS[code]].block(int(row), 1)[0]
            writer.write(block.tobytes())
        writer.close()


def _join(shards: list[Path], path: Path, rows: int, dimension: int) -> None:
    writer = VectorWriter(path, rows, dimension)
    for values in read_shards(shards):
        writer.write(values.tobytes())
    writer.close()


def _record(
    context: StageContext,
    teacher: EmbeddingTeacher,
    computation: Computation,
    reduction: Reduction,
    sources: Mapping[str, int],
) -> dict[str, Any]:
    """Return the content of `teacher.json`; `sources` counts the training texts by where their vectors come from."""
    files = teacher.files
    return {
        "id": files.name,
        "revision": files.revision,
        "sha256": files.sha256,
        "fingerprint": teacher.fingerprint,
        "licences": _licences(context, files),
        "dimension": teacher.dimension,
        "reduced_dimension": reduction.matrix.shape[1],
        "centred": bool(reduction.mean.any()),
        "explained_variance": round(reduction.explained, 6),
        "precision": computation.precision,
        "device": computation.device,
        **teacher.reading,
        **({"several": list(teacher.parts)} if teacher.parts else {}),
        "training_texts": {
            "encoded": sources["document"] + sources["query"],
            "taken_from_documents": sources["known"],
        },
    }


def _licences(context: StageContext, files: TeacherIdentity) -> dict[str, str]:
    """Return the licences of all that the student learns from: the teacher's, and a cross-encoder's."""
    record = CrossEncoderOutput.of(context).record() if CrossEncoderOutput.stage in context.inputs else {}
    return dict(files.licences) | {
        f"{name} of {record['id']}": licence for name, licence in record.get("licences", {}).items()
    }
