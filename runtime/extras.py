"""The packages beyond the base installation, and the extra of pocketrank that brings each."""

import importlib.util
from typing import TypeGuard

from .errors import UnavailableError

EXTRAS = {
    "hybrid": ("bm25s",),
    "report": ("jinja2",),
    "sign": ("cryptography",),
    "energy": ("codecarbon",),
    "peft": ("peft",),
    "ray": ("ray",),
    "segment": ("budoux",),
    "build": (
        *("torch", "transformers", "sentence_transformers", "safetensors", "onnx", "tomli_w", "matplotlib"),
        *("onnxscript", "scipy", "model2vec", "skeletoken"),
    ),
}


def require(what: str, *packages: str) -> None:
    """Raise `UnavailableError` with the command that installs them when one of `packages` is not here.

    >>> require("this example")
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise missing_packages(what, *missing)


def missing_packages(what: str, *packages: str) -> UnavailableError:
    """Return the error that says which extra brings `packages`, which `what` needs."""
    extras = ",".join(extra for extra, brought in EXTRAS.items() if set(brought) & set(packages))
    plural = "s" if len(packages) > 1 else ""
    return UnavailableError(
        f"{what} needs the package{plural} {', '.join(packages)}; run: pip install 'pocketrank[{extras}]'"
    )


def brought_by_extra(package: str | None) -> TypeGuard[str]:
    """Tell whether `package` comes with an extra and not with the base."""
    return any(package in brought for brought in EXTRAS.values())
