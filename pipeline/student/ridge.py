"""Linear maps fitted by ridge regression (Hoerl and Kennard 1970), and which rows they are fitted on."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_LEAST_POWER = 1e-12  # of the features: where one sample is all there is, its centred features are zero


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of `rows`, evenly spread from the first to the last; all of them when there are fewer."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]


def ridge_map(features: "torch.Tensor", targets: "torch.Tensor", strength: float) -> "torch.Tensor":
    """Return the matrix M [features, outputs] for which `features` M is nearest to `targets` [rows, outputs].

    Both are float64 with one row a sample; the penalty on M is `strength` times the mean power of the features.
    """
    import torch

    moment = features.T @ features
    moment += torch.eye(len(moment), dtype=torch.float64) * (
        strength * moment.diagonal().mean().clamp(min=_LEAST_POWER)
    )
    return torch.linalg.solve(moment, features.T @ targets)


def fit_linear(
    features: "torch.Tensor", targets: "torch.Tensor", strength: float
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return weight [outputs, features] and bias [outputs] of the linear layer nearest to `targets`, float64."""
    features, targets = features.double(), targets.double()
    centre, offset = features.mean(0), targets.mean(0)
    weight = ridge_map(features - centre, targets - offset, strength).T
    return weight, offset - weight @ centre
