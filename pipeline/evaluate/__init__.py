"""Ranking quality of the shipped file, and of what it is compared with.

The names below are the door for other programs; they are loaded when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .finished_bundle import EvaluationOptions, evaluate_bundle

__all__ = ["EvaluationOptions", "evaluate_bundle"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import finished_bundle

    return getattr(finished_bundle, name)
