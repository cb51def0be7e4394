"""Encode any number of texts with a teacher, shard by shard, in memory that does not grow with their number.

A shard is a run of consecutive texts. Its file is named by the hash of all that its vectors depend on, and is whole
or absent, so an interrupted run goes on from its last finished shard. One worker encodes a whole shard, so the bytes
do not depend on how many workers there are.
"""

import io
import json
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import disk_errors, sha256_bytes, write_bytes
from ...runtime.progress import Progress, Task
from ..settings import TeacherSettings
from ..training.worker_pool import Worker, available_cores, receive_from_parent
from .bi_encoder import Precision, Role, reading_fingerprint
from .load import load_teacher

_SHARD_CHARACTERS = 400_000  # a shard of long texts holds fewer of them, so that workers finish together


class Ranker(Protocol):
    """What turns texts into rows of numbers: a teacher, or a cross-encoder whose texts are pairs."""

    dimension: int  # numbers of a row

    def lengths(self, texts: Sequence[str], role: Role, /) -> list[int]:
        """Return how many tokens it reads of each text."""
        ...

    def encode(self, texts: Sequence[str], role: Role, precision: Precision, /) -> np.ndarray:
        """Return float32 [texts, dimension]; the same texts give the same bytes."""
        ...


@dataclass(frozen=True)
class Shard:
    """Consecutive texts and the file of their vectors (float32, row by row, no header)."""

    texts: tuple[str, ...]
    role: Role
    path: Path
    precision: Precision = "fp32"


@dataclass
class Encoded:
    """What an encoding did."""

    texts: int = 0  # encoded by this run
    tokens: int = 0
    seconds: float = 0.0
    resumed: int = 0  # taken from shards of an earlier run


def cut_shards(
    texts: Iterable[str],
    role: Role,
    fingerprint: str,
    folder: Path,
    shard_texts: int,
    precision: Precision = "fp32",
) -> Iterator[Shard]:
    """Yield the texts in shards of at most `shard_texts` texts and about 400,000 characters."""

    def shard(batch: list[str]) -> Shard:
        content = json.dumps([fingerprint, role, precision, batch], ensure_ascii=True).encode()
        return Shard(tuple(batch), role, folder / f"{sha256_bytes(content)[:40]}.f32", precision)

    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (len(batch) >= shard_texts or characters + len(text) > _SHARD_CHARACTERS):
            yield shard(batch)
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield shard(batch)


def encode_shards(
    teacher: Ranker,
    sources: Sequence[Callable[[], Iterator[Shard]]],
    workers: int,
    progress: Progress,
    title: str = "teacher",
    unit: str = "texts",
) -> tuple[list[list[Path]], Encoded]:
    """Encode every shard that has no file yet; return the shard files of each source in order.

    Each source is called twice: to count, and to encode. `workers` = 0 takes one process a core.
    """
    result = Encoded()
    paths: list[list[Path]] = []
    row_bytes = 4 * teacher.dimension
    total = missing = 0
    for source in sources:
        paths.append([])
        for shard in source():
            paths[-1].append(shard.path)
            total += len(shard.texts)
            if shard.path.is_file() and shard.path.stat().st_size == len(shard.texts) * row_bytes:
                result.resumed += len(shard.texts)
            else:
                shard.path.unlink(missing_ok=True)
                missing += 1
    count = min(workers or available_cores(), max(missing, 1))
    shards = (shard for source in sources for shard in source() if not shard.path.exists())
    started = time.monotonic()
    # The processes are forked before a progress bar starts its thread.
    with (
        _encoders(teacher, count) as encoders,
        progress.task(title, total, unit, done=result.resumed) as task,
    ):
        if encoders:
            _encode_in_workers(encoders, shards, task, result)
        else:
            for shard in shards:
                result.tokens += _encode_one(teacher, shard)
                result.texts += len(shard.texts)
                task.advance(len(shard.texts))
    result.seconds = time.monotonic() - started
    return paths, result


def _encode_one(teacher: Ranker, shard: Shard) -> int:
    tokens = sum(teacher.lengths(shard.texts, shard.role))
    write_bytes(shard.path, teacher.encode(shard.texts, shard.role, shard.precision).tobytes())
    return tokens


@contextmanager
def _encoders(teacher: Ranker, count: int) -> Iterator[list[Worker]]:
    """Fork `count` encoding processes; none where one process is enough."""
    encoders = [Worker(_serve, teacher, os.getpid()) for _ in range(count)] if count > 1 else []
    try:
        yield encoders
    finally:
        for encoder in encoders:
            encoder.stop()


def _serve(channel: Connection, teacher: Ranker, parent: int) -> None:
    while True:
        shard: Shard = receive_from_parent(channel, parent)
        channel.send((len(shard.texts), _encode_one(teacher, shard)))


def _encode_in_workers(encoders: list[Worker], shards: Iterator[Shard], task: Task, result: Encoded) -> None:
    by_channel = {encoder.channel: encoder for encoder in encoders}
    busy = set()
    waiting = list(encoders)
    while True:
        while waiting and (shard := next(shards, None)) is not None:
            encoder = waiting.pop()
            encoder.send(shard)
            busy.add(encoder.channel)
        if not busy:
            return
        for channel in wait(list(busy)):
            encoder = by_channel[channel]  # type: ignore[index]
            texts, tokens = encoder.receive()
            result.texts += texts
            result.tokens += tokens
            task.advance(texts)
            busy.discard(channel)
            waiting.append(encoder)


def encode_texts(
    settings: TeacherSettings,
    texts: Sequence[str],
    progress: Progress,
    role: Role = "document",
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return the teacher's unit vectors of `texts`, float32 [texts, dimension], in order.

    The vectors are those of one call of the `teacher` stage with the same texts in that precision, whatever
    `settings.precision` says: what students are measured against is computed in full precision unless asked otherwise.
    """
    teacher = load_teacher(settings)
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        fingerprint = reading_fingerprint(teacher)
        paths, _ = encode_shards(
            teacher,
            [lambda: cut_shards(texts, role, fingerprint, Path(folder), settings.shard_texts, precision)],
            settings.workers,
            progress,
        )
        blocks = [np.fromfile(path, np.float32).reshape(-1, teacher.dimension) for path in paths[0]]
    return np.concatenate(blocks) if blocks else np.empty((0, teacher.dimension), np.float32)


class VectorWriter:
    """Writes a .npy file of float32 rows, block by block; the rows may not be more or fewer than promised."""

    def __init__(self, path: Path, rows: int, dimension: int) -> None:
        self.path, self.rows, self.dimension = path, rows, dimension
        self._written = 0
        with disk_errors(path):
            self._stream = path.open("wb")
            description = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
            np.lib.format.write_array_header_1_0(self._stream, description)

    def write(self, block: bytes) -> None:
        """Append rows."""
        with disk_errors(self.path):
            self._stream.write(block)
        self._written += len(block)

    def close(self) -> None:
        """Finish the file; raise `InputError` when rows are missing."""
        with disk_errors(self.path):
            self._stream.close()
        if self._written != self.rows * self.dimension * 4:
            raise InputError(
                f"{self.path}: {self._written} bytes of vectors for {self.rows} rows; remove it and run again"
            )


class VectorReader:
    """Reads rows of a .npy file of float32 without mapping it into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise InputError(f"{path}: not a vector file of ours; remove it and run again")
            shape, _, kind = np.lib.format.read_array_header_1_0(stream)
            self._start = stream.tell()
        if len(shape) != 2 or kind != np.dtype("<f4"):
            raise InputError(f"{path}: float32 vectors [rows, dimension] are needed; remove it and run again")
        self.rows, self.dimension = shape

    def block(self, first: int, count: int) -> np.ndarray:
        """Return rows `first` … `first + count`, float32 [count or fewer, dimension]."""
        count = min(count, self.rows - first)
        offset = self._start + first * self.dimension * 4
        return np.fromfile(self.path, "<f4", count * self.dimension, offset=offset).reshape(-1, self.dimension)

    def blocks(self, rows: int = 4096) -> Iterator[np.ndarray]:
        """Yield all rows in blocks."""
        for first in range(0, self.rows, rows):
            yield self.block(first, rows)


def digest(text: str) -> int:
    """Return 64 bits of the hash of a text, to find equal texts in little memory."""
    return struct.unpack("<Q", bytes.fromhex(sha256_bytes(text.encode())[:16]))[0]


def cached_vectors(
    settings: TeacherSettings,
    texts: Sequence[str],
    role: Role,
    cache: Path | None,
    progress: Progress,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return the teacher's vectors of `texts`; from `cache` when they are there, else encoded and put there."""
    several = [repr((settings.weight, settings.ensemble))] if settings.ensemble else []
    reading = (settings.sha256, settings.query_prompt, settings.document_prompt, str(settings.max_length), *several)
    reading += () if precision == "fp32" else (precision,)
    parts = (*reading, role, *texts)
    key = sha256_bytes("\0".join(parts).encode("utf-8"))
    path = cache / f"{role}-{key[:32]}.npy" if cache else None
    if path and path.is_file():
        return read_vectors(path, len(texts))
    vectors = encode_texts(settings, texts, progress, role, precision)
    if path:
        buffer = io.BytesIO()
        np.save(buffer, vectors, allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    return vectors


def read_vectors(path: Path, rows: int) -> np.ndarray:
    """Return the vectors of a `.npy` file; raise `InputError` unless it holds `rows` rows of finite numbers."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it again") from None
    except (ValueError, EOFError):
        raise InputError(f"{path} is no array of numbers; run the stage that writes it again") from None
    if vectors.ndim != 2 or len(vectors) != rows or not np.isfinite(vectors).all():
        raise InputError(f"{path} holds {vectors.shape}, not {rows} rows of vectors; run its stage again")
    return np.asarray(vectors, dtype=np.float32)
