"""Encode any number of texts with a teacher, shard by shard, in memory that does not grow with their number.

A shard is a run of consecutive texts. Its file is named by the hash of all that its vectors depend on, and is whole
or absent, so an interrupted run goes on from its last finished shard. One worker encodes a whole shard, so the bytes
do not depend on how many workers there are.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from ....runtime.files import sha256_bytes
from ....runtime.progress import Progress, Task
from ...settings import TeacherSettings
from ...training.worker_pool import Worker, available_cores, receive_from_parent
from ..load import load_teacher, processes
from ..protocol import Precision, Role, Teacher
from .cluster import LOCAL, encode_on_cluster
from .files import read_shard, read_shards, write_shard

_SHARD_CHARACTERS = 400_000  # a shard of long texts holds fewer of them, so that workers finish together


@dataclass(frozen=True)
class Shard:
    """Consecutive texts and the file of their vectors."""

    texts: tuple[str, ...]
    role: Role
    path: Path
    precision: Precision = "fp32"

    def encode(self, teacher: Teacher) -> int:
        """Write the file; return how many tokens the teacher read."""
        tokens = sum(teacher.lengths(self.texts, self.role))
        write_shard(self.path, teacher.encode(self.texts, self.role, self.precision))
        return tokens


@dataclass
class Encoded:
    """What an encoding did."""

    texts: int = 0  # encoded by this run
    tokens: int = 0
    seconds: float = 0.0
    resumed: int = 0  # taken from shards of an earlier run

    def speed(self, unit: str = "texts") -> dict[str, float]:
        """Return the content of `speed.json`; `unit` is what a text is called there."""
        seconds = max(self.seconds, 1e-9)
        return {
            unit: self.texts,
            f"resumed_{unit}": self.resumed,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            f"{unit}_per_second": round(self.texts / seconds, 1),
            "tokens_per_second": round(self.tokens / seconds, 1),
        }


def shards_folder(scratch: Path) -> Path:
    """Return where shards of vectors are kept: for this run alone, or in the folder that `POCKETRANK_VECTORS` names.

    Shards are named by teacher and texts, so that runs can share a folder: texts that another recipe has had encoded
    are not encoded again. Other versions of the libraries have a folder of their own there.
    """
    shared = os.environ.get("POCKETRANK_VECTORS", "")
    versions = [f"{name}-{version(name)}" for name in ("torch", "transformers")]
    return Path(shared, *versions) if shared else scratch / "shards"


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
    teacher: Teacher,
    sources: Sequence[Callable[[], Iterator[Shard]]],
    workers: int,
    progress: Progress,
    title: str = "teacher",
    unit: str = "texts",
    on: str = LOCAL,
) -> tuple[list[list[Path]], Encoded]:
    """Encode every shard that has no file yet; return the shard files of each source in order.

    Each source is called twice: to count, and to encode. `workers` = 0 takes one process a core. `on` names a
    cluster that computes them instead, see `cluster.py`.
    """
    result = Encoded()
    paths: list[list[Path]] = [[] for _ in sources]
    total = missing = 0
    for source, files in zip(sources, paths, strict=True):
        for shard in source():
            files.append(shard.path)
            total += len(shard.texts)
            values = read_shard(shard.path)
            if values is not None and len(values) == len(shard.texts) * teacher.dimension:
                result.resumed += len(shard.texts)
            else:
                shard.path.unlink(missing_ok=True)
                missing += 1
    count = min(workers or available_cores(), max(missing, 1)) if on == LOCAL else 1
    shards = (shard for source in sources for shard in source() if not shard.path.exists())
    started = time.monotonic()
    # The processes are forked before a progress bar starts its thread.
    with (
        _encoders(teacher, count) as encoders,
        progress.task(title, total, unit, done=result.resumed) as task,
    ):
        if encoders:
            done = _encode_in_workers(encoders, shards)
        elif on != LOCAL and missing:
            done = encode_on_cluster(teacher, shards, on)
        else:
            done = ((len(shard.texts), shard.encode(teacher)) for shard in shards)
        _count(done, result, task)
    result.seconds = time.monotonic() - started
    return paths, result


def _count(done: Iterable[tuple[int, int]], result: Encoded, task: Task) -> None:
    for texts, tokens in done:
        result.texts += texts
        result.tokens += tokens
        task.advance(texts)


@contextmanager
def _encoders(teacher: Teacher, count: int) -> Iterator[list[Worker]]:
    """Fork `count` encoding processes; none where one process is enough."""
    encoders = [Worker(_serve, teacher, os.getpid()) for _ in range(count)] if count > 1 else []
    try:
        yield encoders
    finally:
        for encoder in encoders:
            encoder.stop()


def _serve(channel: Connection, teacher: Teacher, parent: int) -> None:
    while True:
        shard: Shard = receive_from_parent(channel, parent)
        channel.send((len(shard.texts), shard.encode(teacher)))


def _encode_in_workers(encoders: list[Worker], shards: Iterator[Shard]) -> Iterator[tuple[int, int]]:
    """Yield texts and tokens of each shard when it is done."""
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
            yield encoder.receive()
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
        paths, _ = encode_shards(
            teacher,
            [lambda: cut_shards(texts, role, teacher.fingerprint, Path(folder), settings.shard_texts, precision)],
            processes(settings),
            progress,
        )
        blocks = [np.empty(0, np.float32), *read_shards(paths[0])]
    return np.concatenate(blocks).reshape(-1, teacher.dimension)


def cached_vectors(
    settings: TeacherSettings,
    texts: Sequence[str],
    role: Role,
    cache: Path | None,
    progress: Progress,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return what `encode_texts` does; read from the folder `cache` when it is there, else kept there.

    The teacher is identified by `settings.sha256`, its prompts and its length, so that a cached one is not loaded.
    """
    reading = [settings.sha256, settings.query_prompt, settings.document_prompt, str(settings.max_length)]
    reading += [repr((settings.weight, settings.ensemble))] if settings.ensemble else []
    reading += [precision] if precision != "fp32" else []
    key = sha256_bytes("\0".join((*reading, role, *texts)).encode("utf-8"))
    path = cache / f"{role}-{key[:32]}.f32" if cache else None
    kept = read_shard(path) if path else None
    if kept is not None:
        return kept.reshape(len(texts), -1)
    vectors = encode_texts(settings, texts, progress, role, precision)
    if path:
        write_shard(path, vectors)
    return vectors
