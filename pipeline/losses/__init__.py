"""The losses of distillation by name; one module a family. A recipe weighs them in `[distill.losses]`."""

from . import embedding, lists, scores
from .batch import LIST_LOSSES, LOSSES, PAIR_LOSSES
from .weighted import WeightedLosses

__all__ = ["LIST_LOSSES", "LOSSES", "PAIR_LOSSES", "WeightedLosses", "embedding", "lists", "scores"]
