"""Stage `distill`: train the student to give the teacher's vectors.

Training is a pure function of recipe, seed and inputs: the batch of a step follows from seed and step alone, each
part of it is computed on one thread, and a run that was killed goes on from its last checkpoint to the same bytes.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...export.graph.schemes import Plan
from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..losses.weighted import WeightedLosses
from ..queries.tokenized_texts import TokenizedTexts
from ..settings import DistillSettings
from ..stage import StageContext
from ..student.model import FlatParameters, Student
from ..teacher.score_lists import ScoreLists
from ..training.checkpoint import TrainingState, write_checkpoint
from .batches import BatchPlan
from .quantization_aware import FakeQuantizedWeights
from .relevance_pairs import NO_PAIRS, KnownPairs
from .teacher_documents import inherited_documents
from .training_step import TrainingStep
from .validation import Validation, held_back

_LOG_POINTS = 100
_VALIDATIONS = 10


@dataclass
class _Speed:
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Trainer:
    """Owns the weights, the optimiser and the log of one training run."""

    def __init__(
        self,
        settings: DistillSettings,
        seed: int,
        parameters: FlatParameters,
        texts: TokenizedTexts,
        targets: np.ndarray,
        plan: Plan | None = None,
        lists: ScoreLists | None = None,
        known: KnownPairs = NO_PAIRS,
    ) -> None:
        """Prepare a run.

        `plan` is what the `quantize_aware_steps` round the weights to, `lists` is for list losses, and `known` are the
        queries whose documents are known.
        """
        import torch

        _check(settings)
        self.steps = settings.steps + (settings.quantize_aware_steps if plan else 0)
        self._rounded = FakeQuantizedWeights(parameters, plan) if plan else None
        self.settings, self._texts, self._targets = settings, texts, targets
        inherited = inherited_documents(texts, targets, known.all)
        judged = np.intersect1d(known.judged[:, 0], np.fromiter(inherited.answers, np.int64))
        self.validation = Validation(texts, targets, inherited, *held_back(len(texts), judged, seed, settings))
        self.trained = np.setdiff1d(np.arange(len(texts)), self.validation.excluded)
        losses = WeightedLosses(settings.losses)
        if losses.read_lists and lists is None:
            raise InputError(
                "distill.losses names a list loss, and there are neither scores of a cross-encoder nor judged training "
                'queries or titles; set cross_encoder.model and cross_encoder.use = ["scores"], or take the loss out'
            )
        batches = BatchPlan(
            texts,
            self.validation.excluded,
            settings.batch_texts,
            settings.document_share,
            seed,
            lists if losses.read_lists else None,
            settings.batch_lists,
            judged,
            settings.judged_share,
        )
        self._engine = TrainingStep(
            parameters,
            texts,
            targets,
            batches,
            losses,
            inherited,
            settings.batch_texts,
            settings.shards,
            settings.precision,
        )
        self.student = Student(parameters, self._engine.flat)
        # What the optimiser changes: the student's own weights, or those before rounding.
        self._weights = torch.zeros(parameters.length) if self._rounded else self._engine.flat
        flat, gradient, cut = self._weights, self._engine.gradient, parameters.decayed
        self._optimised = [torch.nn.Parameter(flat[:cut]), torch.nn.Parameter(flat[cut:])]
        self._optimised[0].grad, self._optimised[1].grad = gradient[:cut], gradient[cut:]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": [self._optimised[0]], "weight_decay": settings.weight_decay},
                {"params": [self._optimised[1]], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            eps=1e-8,
            fused=True,
        )
        self._moments = torch.zeros(2, parameters.length)
        self._set_optimiser(0, cut)
        self._cut = cut
        self.step = 0
        self.log: list[dict[str, Any]] = []
        self._running: dict[str, float] = {}
        self._speed = _Speed()

    def _set_optimiser(self, step: int, cut: int) -> None:
        """Let the optimiser keep its moments in our flat tensors, which a checkpoint stores."""
        import torch

        for parameter, part in zip(self._optimised, (slice(None, cut), slice(cut, None)), strict=True):
            first, second = self._moments[0, part], self._moments[1, part]
            self._optimiser.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": first,
                "exp_avg_sq": second,
            }

    def fits(self, state: TrainingState) -> bool:
        """Tell whether a checkpoint is one of this run."""
        tensors = state.tensors
        sizes = {"parameters": self._engine.flat.shape, "moments": self._moments.shape}
        return {name: tensor.shape for name, tensor in tensors.items()} == sizes and state.step <= self.steps

    def restore(self, state: TrainingState) -> None:
        """Go back to the state of a checkpoint."""
        self._weights.copy_(state.tensors["parameters"])
        self._moments.copy_(state.tensors["moments"])
        self._set_optimiser(state.step, self._cut)
        self.step, self.log, self._running = state.step, state.log, state.running
        self._show_weights()

    def _show_weights(self) -> None:
        """Give the student the weights that its next forward pass uses."""
        if self._rounded is not None:
            if self.step < self.settings.steps:
                self._engine.flat.copy_(self._weights)
            else:
                self._rounded.write(self._weights, self._engine.flat)

    def train(self, context: StageContext) -> None:
        """Run the remaining steps; write a checkpoint every `checkpoint_seconds`."""
        settings, progress = self.settings, context.progress
        checkpoint = context.scratch / "checkpoint.safetensors"
        if self.step == 0:
            self._weights.copy_(self._engine.flat)
        self._show_weights()
        self._engine.start_helpers(settings.workers)
        started = saved = time.monotonic()
        try:
            with progress.task("student", self.steps, "steps", done=self.step) as task:
                while self.step < self.steps:
                    self.train_step(progress)
                    task.advance()
                    if time.monotonic() - saved >= settings.checkpoint_seconds and self.step < self.steps:
                        write_checkpoint(checkpoint, self._state())
                        saved = time.monotonic()
        finally:
            self._engine.stop()
        self._speed.seconds = time.monotonic() - started

    def train_step(self, progress: Progress) -> None:
        """Compute one step, update the weights, and log."""
        import torch

        settings = self.settings
        loss, values, tokens = self._engine.step(self.step, progress)
        norm = float(torch.linalg.vector_norm(self._engine.gradient))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise InputError(
                f"training diverged at step {self.step}: loss {loss}, gradient norm {norm}; "
                f"lower distill.learning_rate ({settings.learning_rate:g}) or raise distill.warmup_steps"
            )
        if norm > settings.clip_norm:
            self._engine.gradient.mul_(settings.clip_norm / norm)
        rate = learning_rate(settings, self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self.step += 1
        self._show_weights()
        self._speed.steps += 1
        self._speed.tokens += tokens
        for name, value in (("loss", loss), *values.items(), ("gradient_norm", norm), ("steps", 1.0)):
            self._running[name] = self._running.get(name, 0.0) + value
        self._log_point()

    def _log_point(self) -> None:
        steps = self.steps
        if self.step % max(steps // _LOG_POINTS, 1) == 0 or self.step == steps:
            count = self._running.pop("steps")
            point: dict[str, Any] = {"step": self.step}
            point |= {name: float(f"{total / count:.6g}") for name, total in self._running.items()}
            self.log.append(point)
            self._running = {}
            if self.step % max(steps // _VALIDATIONS, 1) == 0 or self.step == steps:
                measured = self.validation.measure(self.student)
                point |= {name: float(f"{value:.6g}") for name, value in measured.items()}

    def _state(self) -> TrainingState:
        tensors = {"parameters": self._weights.clone(), "moments": self._moments}
        return TrainingState(self.step, self.log, self._running, tensors)

    def speed(self) -> dict[str, Any]:
        """Return the timings of this run (a resumed run counts only its own steps)."""
        seconds = max(self._speed.seconds, 1e-9)
        return {
            "steps": self._speed.steps,
            "tokens": self._speed.tokens,
            "seconds": round(self._speed.seconds, 3),
            "tokens_per_second": round(self._speed.tokens / seconds, 1),
            "gradient_seconds_with_helper": round(self._engine.seconds_with_helpers, 3),
            "gradient_seconds_alone": round(self._engine.seconds_alone, 3),
        }


def learning_rate(settings: DistillSettings, step: int) -> float:
    """Return the rate of a step: linear warm-up, then linear or cosine decay towards zero.

    The quantization-aware steps after that start again at their own rate and fall linearly.
    """
    if step >= settings.steps:
        left = 1 - (step - settings.steps) / max(settings.quantize_aware_steps, 1)
        return settings.quantize_aware_learning_rate * left
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    rest = max(settings.steps - settings.warmup_steps, 1)
    left = 1 - (step - settings.warmup_steps) / rest
    if settings.decay == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return settings.learning_rate * left


def _check(settings: DistillSettings) -> None:
    if min(settings.steps, settings.batch_texts, settings.shards) < 1:
        raise InputError("[distill]: steps, batch_texts and shards must be at least 1; fix the recipe")
    if not 0 <= settings.document_share <= 1:
        raise InputError(f"distill.document_share = {settings.document_share} must be between 0 and 1; fix the recipe")
    if not 0 <= settings.judged_share <= 1 - settings.document_share + 1e-9:
        raise InputError(
            f"distill.judged_share = {settings.judged_share} must be from 0, and with document_share at most 1; "
            "fix the recipe"
        )
    if settings.quantize_aware_steps < 0 or not settings.quantize_aware_learning_rate > 0:
        raise InputError(
            f"distill.quantize_aware_steps = {settings.quantize_aware_steps} and quantize_aware_learning_rate = "
            f"{settings.quantize_aware_learning_rate} must be at least 0 and above 0; fix the recipe"
        )
    if not settings.learning_rate > 0:
        raise InputError(f"distill.learning_rate = {settings.learning_rate} must be above 0; fix the recipe")
