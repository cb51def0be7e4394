"""Loss and gradient of one training step, computed by one process or by several, with the same bytes.

A batch is split into parts. Each part's forward and backward pass runs as a whole in one process on one thread, the
loss is computed over the vectors of all parts together, and the parts' gradients are added in a fixed order. So it
does not matter which process computes which part, and whether a helper process pays is decided by the clock alone.
"""

import mmap
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.progress import Progress
from ..losses.batch import EmbeddingBatch, ListBatch
from ..losses.weighted import WeightedLosses
from ..settings import DistillSettings
from ..student.model import FlatParameters, Student
from ..training.accelerator import TrainingDevice
from ..training.worker_pool import Worker, WorkerError, available_cores, receive_from_parent
from .batches import BatchPlan
from .training_data import TrainingData

if TYPE_CHECKING:
    import torch

_ANSWER_SECONDS = 300.0
_PROBE_STEPS = 8  # steps that one mode of working is timed for
_PROBE_EVERY = 200  # steps between two trials of the other mode


def shared_floats(*size: int) -> "torch.Tensor":
    """Return a zeroed float32 tensor whose memory forked processes share."""
    import torch

    return torch.frombuffer(mmap.mmap(-1, 4 * int(np.prod(size))), dtype=torch.float32).view(size)


class TrainingStep:
    """Computes gradients; owns the parameters' memory and the helper processes."""

    def __init__(
        self,
        settings: DistillSettings,
        parameters: FlatParameters,
        data: TrainingData,
        batches: BatchPlan,
        losses: WeightedLosses,
        device: TrainingDevice,
    ) -> None:
        self._data, self._batches, self._losses, self._shards = data, batches, losses, settings.shards
        self._device, zeros = device, device.zeros if device.asynchronous else shared_floats
        self.flat = zeros(parameters.length)
        self._gradients = [zeros(parameters.length) for _ in range(settings.shards)]
        self._vectors = zeros(settings.batch_texts, parameters.shape.dimension)
        self._vector_gradients = zeros(settings.batch_texts, parameters.shape.dimension)
        self._students = [Student(parameters, self.flat, part, settings.precision) for part in self._gradients]
        self._corpus = device.put(data.teacher_documents.vectors)
        self._helpers: list[Worker] = []
        self._schedule = HelperSchedule()
        self.seconds_with_helpers = self.seconds_alone = 0.0

    @property
    def gradient(self) -> "torch.Tensor":
        """The gradient of the last step, float32 [parameters]."""
        return self._gradients[0]

    def start_helpers(self, workers: int) -> None:
        """Fork helper processes, so that `workers` processes work in all (0: one a core; never more than shards).

        An accelerator computes all parts in this process.
        """
        if self._device.asynchronous:
            return
        for share in range(1, min(workers or available_cores(), self._shards)):
            self._helpers.append(Worker(self._help, os.getpid(), share))

    def stop(self) -> None:
        """End the helper processes."""
        for helper in self._helpers:
            helper.stop()
        self._helpers = []

    def step(self, step: int, progress: Progress) -> "tuple[torch.Tensor, dict[str, torch.Tensor], int]":
        """Compute the gradient of `step`; return the loss, its parts by name, and the number of tokens.

        The figures lie on the device; reading one waits until it has been computed.
        """
        parts = self._batches.parts(step, self._shards)
        tokens = int(sum(self._data.texts.lengths[rows].sum() for rows in parts))
        together = bool(self._helpers) and self._schedule.together()
        started = time.perf_counter()
        try:
            loss, values = self._compute(step, parts, self._helpers if together else [])
        except WorkerError as error:
            progress.note(f"  a helper process is lost ({error}); training goes on without it")
            self.stop()
            together = False
            loss, values = self._compute(step, parts, [])
        seconds = time.perf_counter() - started
        self._schedule.record(together, seconds / max(tokens, 1))
        if together:
            self.seconds_with_helpers += seconds
        else:
            self.seconds_alone += seconds
        return loss, values, tokens

    def _compute(
        self, step: int, parts: Sequence[np.ndarray], helpers: Sequence[Worker]
    ) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
        workers = len(helpers) + 1
        for helper in helpers:
            helper.send((step, workers))
        own = self._forward(parts, 0, workers)
        for helper in helpers:
            helper.receive(_ANSWER_SECONDS)
        batch = self._batch(np.concatenate(parts))
        loss, values = self._losses(batch, self._lists(step, batch))
        loss.backward()
        assert batch.student.grad is not None
        self._vector_gradients[: len(batch.student)] = batch.student.grad
        for helper in helpers:
            helper.send("backward")
        self._backward(own)
        for helper in helpers:
            helper.receive(_ANSWER_SECONDS)
        for gradient in self._gradients[1 : len(parts)]:
            self._gradients[0] += gradient
        return loss.detach(), values

    def _batch(self, rows: np.ndarray) -> EmbeddingBatch:
        data, put = self._data, self._device.put
        return EmbeddingBatch(
            self._vectors[: len(rows)].clone().requires_grad_(),
            put(data.targets[rows]),
            put(data.texts.is_document[rows]),
            self._corpus,
            *map(put, data.teacher_documents.pairs_of(rows)),
        )

    def _lists(self, step: int, batch: EmbeddingBatch) -> ListBatch | None:
        put = self._device.put
        lists = self._batches.lists(step)
        if lists is None:
            return None
        documents = put(lists.positions[:, 1:])
        rows = documents.clamp_min(0)  # where a document is absent, any vector will do
        return ListBatch(
            batch.student[put(lists.positions[:, 0])],
            batch.student[rows],
            batch.teacher[rows],
            put(lists.scores),
            documents >= 0,
        )

    def _forward(self, parts: Sequence[np.ndarray], share: int, workers: int) -> "list[tuple[int, int, torch.Tensor]]":
        """Encode the parts that fall to process `share` of `workers` into the shared vectors.

        Returns number, first row and vectors of each.
        """
        encoded = []
        first = 0
        for number, rows in enumerate(parts):
            if number % workers == share:
                ids, lengths = self._data.texts.padded(rows)
                vectors = self._students[number].encode(self._device.put(ids), self._device.put(lengths))
                self._vectors[first : first + len(rows)] = vectors.detach()
                encoded.append((number, first, vectors))
            first += len(rows)
        return encoded

    def _backward(self, encoded: "list[tuple[int, int, torch.Tensor]]") -> None:
        for number, first, vectors in encoded:
            self._gradients[number].zero_()
            vectors.backward(self._vector_gradients[first : first + len(vectors)])
            self._students[number].add_table_gradient()

    def _help(self, channel: Connection, parent: int, share: int) -> None:
        import torch

        torch.set_flush_denormal(True)
        while True:
            step, workers = receive_from_parent(channel, parent)
            encoded = self._forward(self._batches.parts(step, self._shards), share, workers)
            channel.send("forward")
            receive_from_parent(channel, parent)
            self._backward(encoded)
            channel.send("backward")


class HelperSchedule:
    """Chooses between working with helpers and alone: the faster of the two, each timed now and then."""

    def __init__(self) -> None:
        self._recent: dict[bool, list[float]] = {True: [], False: []}
        self._choice = True
        self._calls = 0

    def together(self) -> bool:
        """Tell whether the next step is to be computed with helpers."""
        phase = self._calls % _PROBE_EVERY
        self._calls += 1
        if phase < _PROBE_STEPS:
            return self._choice
        if phase < 2 * _PROBE_STEPS:
            return not self._choice
        if phase == 2 * _PROBE_STEPS:
            times = {mode: float(np.median(recent)) for mode, recent in self._recent.items() if recent}
            self._choice = min(times, key=lambda mode: times[mode])
            self._recent = {True: [], False: []}
        return self._choice

    def record(self, together: bool, seconds_per_token: float) -> None:
        """Keep the time of a step while a mode is being timed."""
        if len(self._recent[together]) < _PROBE_STEPS:
            self._recent[together].append(seconds_per_token)
