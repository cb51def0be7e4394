"""Quantization-aware training: the forward pass sees weights as the shipped file will hold them.

Each step rounds the trained weights to the plan of the recipe and computes loss and gradient there; the gradient is
applied to the weights before rounding as if rounding were the identity (the straight-through estimator of Bengio et
al. 2013, https://arxiv.org/abs/1308.3432). The arithmetic is the exporter's own, so the codes in the file are exactly
those of the last step. Activations are not rounded: their 8 bits cost next to nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...export.graph.schemes import Plan
from ...export.graph.weights import POSITIONS, TOKEN_TYPES
from ...export.quantization.rounding import rounding
from ..student.model import FlatParameters

if TYPE_CHECKING:
    import torch


class FakeQuantizedWeights:
    """Writes the rounded weights of one flat vector into another."""

    def __init__(self, parameters: FlatParameters, plan: Plan) -> None:
        self._parameters = parameters
        layers = parameters.shape.layers
        self._functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            name: rounding(name, plan, layers) for name in parameters.offsets
        }

    def write(self, source: "torch.Tensor", target: "torch.Tensor") -> None:
        """Round `source` into `target`, both float32 [parameters].

        As in the file, the positions hold the row of the first token type too, which becomes zero. What lies on an
        accelerator is rounded on the processor, by the code of the exporter.
        """
        host = target.detach().cpu()  # the target itself, where it lies there
        weights = {name: view.numpy() for name, view in self._parameters.views(source.detach().cpu()).items()}
        rounded = {name: view.numpy() for name, view in self._parameters.views(host).items()}
        for name, function in self._functions.items():
            values = weights[name] + weights[TOKEN_TYPES][0] if name == POSITIONS else weights[name]
            rounded[name][...] = 0.0 if name == TOKEN_TYPES else function(values)
        if target.device != host.device:
            target.copy_(host)
