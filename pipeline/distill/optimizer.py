"""The optimizer: AdamW over the student's flat vector of weights, and its learning rate by step."""

import math
from typing import TYPE_CHECKING

from ..settings import DistillSettings
from ..student.model import FlatParameters

if TYPE_CHECKING:
    import torch


class FlatAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with flat tensors for its moments, as a checkpoint has them.

    Matrices are decayed, biases and norms are not.
    """

    def __init__(
        self, parameters: FlatParameters, weights: "torch.Tensor", gradient: "torch.Tensor", weight_decay: float
    ) -> None:
        """Update `weights` in place by what is in `gradient` at each step, both float32 [parameters]."""
        import torch

        self.gradient = gradient
        self.moments = torch.zeros(2, parameters.length, device=weights.device)
        self._parts = slice(None, parameters.decayed), slice(parameters.decayed, None)
        self._parameters = [torch.nn.Parameter(weights[part]) for part in self._parts]
        for parameter, part in zip(self._parameters, self._parts, strict=True):
            parameter.grad = gradient[part]
        groups = [
            {"params": [parameter], "weight_decay": decay}
            for parameter, decay in zip(self._parameters, (weight_decay, 0.0), strict=True)
        ]
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, fused=True)
        self.set_steps_done(0)

    def set_steps_done(self, steps: int) -> None:
        """Go on from the values in `moments`, which `steps` steps have led to."""
        import torch

        for parameter, part in zip(self._parameters, self._parts, strict=True):
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(steps), device=parameter.device),
                "exp_avg": self.moments[0, part],
                "exp_avg_sq": self.moments[1, part],
            }

    def step(self, rate: float, norm: "float | torch.Tensor", clip_norm: float) -> None:
        """Update the weights at learning rate `rate`; a gradient whose `norm` is above `clip_norm` is scaled to it.

        A norm that is a tensor is not waited for.
        """
        import torch

        if isinstance(norm, torch.Tensor):
            self.gradient.mul_((clip_norm / norm).clamp(max=1.0))
        elif norm > clip_norm:
            self.gradient.mul_(clip_norm / norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()


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
