"""From a recipe to a distilled student and its evaluation; `run_recipe` is the door for other programs."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runner import run_recipe

__all__ = ["run_recipe"]

_MODULES = {"run_recipe": "runner"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
