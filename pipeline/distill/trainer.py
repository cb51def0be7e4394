"""The training loop: steps, log, checkpoints.

Training is a pure function of recipe, seed and inputs: the batch of a step follows from seed and step alone, each
part of it is computed on one thread, and a run that was killed goes on from its last checkpoint to the same bytes.
"""

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.graph.schemes import Plan
from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..losses.weighted import WeightedLosses
from ..settings import DistillSettings
from ..stage import StageContext
from ..student.model import FlatParameters, Student
from ..training.accelerator import TrainingDevice
from ..training.checkpoint import TrainingState, write_checkpoint
from .batches import BatchPlan
from .optimizer import FlatAdamW, learning_rate
from .quantization_aware import FakeQuantizedWeights
from .training_data import TrainingData
from .training_step import TrainingStep
from .validation import Validation, held_back

if TYPE_CHECKING:
    import torch

_LOG_POINTS = 100
_VALIDATIONS = 10
_UNREAD_STEPS = 50  # of an accelerator, at most: so long a run that has diverged goes on


class Trainer:
    """Owns the weights and the log of one training run."""

    def __init__(
        self,
        settings: DistillSettings,
        seed: int,
        parameters: FlatParameters,
        data: TrainingData,
        *,
        plan: Plan | None = None,
        device: TrainingDevice | None = None,
    ) -> None:
        """Prepare a run; `plan` is what the `quantize_aware_steps` round the weights to.

        Without a `device` it computes on the processor. `student` holds the first weights until `train` begins, and
        the trained ones when it is done; its memory is the processor's.
        Raises `InputError` for settings that do not fit together or to the data.
        """
        device = device or TrainingDevice()
        check_settings(settings)
        losses = WeightedLosses(settings.losses)
        if losses.read_lists and data.lists is None:
            raise InputError(
                "distill.losses names a list loss, and there are neither scores of a cross-encoder nor judged training "
                'queries or titles; set cross_encoder.model and cross_encoder.use = ["scores"], or take the loss out'
            )
        self.settings = settings
        self.steps = settings.steps + (settings.quantize_aware_steps if plan else 0)
        count = len(data.texts)
        self.validation = Validation(data, *held_back(count, data.judged, seed, settings))
        self.trained = np.setdiff1d(np.arange(count), self.validation.excluded)  # rows that batches are made of
        lists = data.lists if losses.read_lists else None
        excluded, passages = self.validation.excluded, data.passages
        batches = BatchPlan(data.texts, excluded, settings, seed, lists=lists, judged=data.judged, passages=passages)
        self._device, self._gradients = device, TrainingStep(settings, parameters, data, batches, losses, device)
        self._trained = Student(parameters, self._gradients.flat)
        self._host = self._gradients.flat.cpu()  # on the processor the very same memory
        self.student = Student(parameters, self._host)
        self._rounded = FakeQuantizedWeights(parameters, plan) if plan else None
        # What the optimizer changes: the student's own weights, or those before rounding.
        self._weights = device.zeros(parameters.length) if self._rounded else self._gradients.flat
        self._optimizer = FlatAdamW(parameters, self._weights, self._gradients.gradient, settings.weight_decay)
        self.step = 0
        self.log: list[dict[str, Any]] = []
        self._running: dict[str, float] = {}  # sums since the last point of the log
        self._unread: list[dict[str, torch.Tensor]] = []  # figures of the steps that are not in the sums yet
        self._steps_timed = self._tokens_timed = 0
        self._seconds = 0.0

    def fits(self, state: TrainingState) -> bool:
        """Tell whether a checkpoint is one of this run."""
        sizes = {"parameters": self._weights.shape, "moments": self._optimizer.moments.shape}
        return {name: tensor.shape for name, tensor in state.tensors.items()} == sizes and state.step <= self.steps

    def restore(self, state: TrainingState) -> None:
        """Go back to the state of a checkpoint."""
        self._weights.copy_(state.tensors["parameters"])
        self._optimizer.moments.copy_(state.tensors["moments"])
        self._optimizer.set_steps_done(state.step)
        self.step, self.log, self._running = state.step, state.log, state.running
        self._show_weights()

    def _show_weights(self) -> None:
        """Give the student the weights that its next forward pass uses."""
        if self._rounded is not None:
            if self.step < self.settings.steps:
                self._gradients.flat.copy_(self._weights)
            else:
                self._rounded.write(self._weights, self._gradients.flat)

    def train(self, context: StageContext) -> None:
        """Run the remaining steps; write a checkpoint every `checkpoint_seconds`."""
        settings, progress = self.settings, context.progress
        checkpoint = context.scratch / "checkpoint.safetensors"
        if self.step == 0:
            self._gradients.flat.copy_(self._host)
            self._weights.copy_(self._host)
        self._show_weights()
        self._gradients.start_helpers(settings.workers)
        started = saved = time.monotonic()
        try:
            with progress.task("student", self.steps, "steps", done=self.step) as task:
                while self.step < self.steps:
                    self.train_step(progress)
                    task.advance()
                    if time.monotonic() - saved >= settings.checkpoint_seconds and self.step < self.steps:
                        self._read_figures()
                        write_checkpoint(checkpoint, self._state())
                        saved = time.monotonic()
        finally:
            self._gradients.stop()
        self._host.copy_(self._gradients.flat)
        self._seconds = time.monotonic() - started

    def train_step(self, progress: Progress) -> None:
        """Compute one step, update the weights, and log; raise `InputError` when training diverges.

        On an accelerator that shows up to 50 steps late, but never after a checkpoint.
        """
        import torch

        settings = self.settings
        loss, values, tokens = self._gradients.step(self.step, progress)
        norm = torch.linalg.vector_norm(self._gradients.gradient)
        self._unread.append({"loss": loss, **values, "gradient_norm": norm})
        if not self._device.asynchronous:
            self._read_figures()
        rate = learning_rate(settings, self.step)
        self._optimizer.step(rate, norm if self._device.asynchronous else float(norm), settings.clip_norm)
        self.step += 1
        self._show_weights()
        self._steps_timed += 1
        self._tokens_timed += tokens
        if self._is_due(_LOG_POINTS):
            self._read_figures()
            self._add_log_point()
        elif len(self._unread) >= _UNREAD_STEPS:
            self._read_figures()

    def _read_figures(self) -> None:
        """Add the figures of the last steps to the running sums, in the order of the steps; see `train_step`."""
        import torch

        if not self._unread:
            return
        values = iter(torch.stack([value for figures in self._unread for value in figures.values()]).tolist())
        for figures in self._unread:
            read = {name: next(values) for name in figures}
            if not math.isfinite(read["loss"]) or not math.isfinite(read["gradient_norm"]):
                when = f"in the {_UNREAD_STEPS} steps before" if self._device.asynchronous else "at"
                raise InputError(
                    f"training diverged {when} step {self.step}: loss {read['loss']}, gradient norm "
                    f"{read['gradient_norm']}; lower distill.learning_rate ({self.settings.learning_rate:g}) or raise "
                    "distill.warmup_steps"
                )
            for name, value in (*read.items(), ("steps", 1.0)):
                self._running[name] = self._running.get(name, 0.0) + value
        self._unread = []

    def _is_due(self, times: int) -> bool:
        """Tell whether this step is one of about `times` evenly spread ones, or the last."""
        return self.step % max(self.steps // times, 1) == 0 or self.step == self.steps

    def _add_log_point(self) -> None:
        count = self._running.pop("steps")
        figures = {name: total / count for name, total in self._running.items()}
        if self._is_due(_VALIDATIONS):
            figures |= self.validation.measure(self._trained)
        self.log.append({"step": self.step} | {name: float(f"{value:.6g}") for name, value in figures.items()})
        self._running = {}

    def _state(self) -> TrainingState:
        tensors = {"parameters": self._weights.cpu(), "moments": self._optimizer.moments.cpu()}
        return TrainingState(self.step, self.log, self._running, tensors)

    def speed(self) -> dict[str, Any]:
        """Return the timings of this run (a resumed run counts only its own steps)."""
        return {
            "device": self._device.name,
            "steps": self._steps_timed,
            "tokens": self._tokens_timed,
            "seconds": round(self._seconds, 3),
            "tokens_per_second": round(self._tokens_timed / max(self._seconds, 1e-9), 1),
            "gradient_seconds_with_helper": round(self._gradients.seconds_with_helpers, 3),
            "gradient_seconds_alone": round(self._gradients.seconds_alone, 3),
        }


def check_settings(settings: DistillSettings) -> None:
    """Raise `InputError` for shares of a batch that are more than the whole."""
    shares = {name: getattr(settings, name) for name in ("document_share", "judged_share", "passage_share")}
    if sum(shares.values()) > 1 + 1e-9:
        named = ", ".join(f"{name} = {share}" for name, share in shares.items())
        raise InputError(f"distill: {named} are more than 1 together; lower one")
