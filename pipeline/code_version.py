"""The version of our own code and of the libraries that results depend on."""

import ast
import functools
import importlib.util
import platform
from importlib import metadata
from pathlib import Path

from ..runtime.files import sha256_bytes, sha256_file

_LIBRARIES = ("numpy", "tokenizers", "onnxruntime", "onnx", "torch", "transformers", "sentence-transformers", "bm25s")

# Modules that carry, show and check values without changing any: an edit there does not make results stale.
_PLUMBING = frozenset(
    f"pocketrank.{name}"
    for name in (
        "runtime.errors",
        "runtime.files",
        "runtime.progress",
        "runtime.schema",
        "pipeline.settings",
        "pipeline.stage",
        "pipeline.stages",
        "pipeline.runner",
        "pipeline.recipe",
        "pipeline.fingerprint",
        "pipeline.code_version",
    )
)


@functools.cache
def library_version(name: str) -> str:
    """Return the version of a distribution, or of the one that holds the package `name`; "absent" without either."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        distributions = metadata.packages_distributions().get(name)
        return metadata.version(min(distributions)) if distributions else "absent"


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions that results depend on: Python, the machine type and the libraries at hand."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    return versions | {name: library_version(name) for name in _LIBRARIES}


@functools.cache
def code_version(module: str) -> str:
    """Return one hash over the sources of `module` and of every module of ours that it imports, however deep."""
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources or name in _PLUMBING:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        path = Path(spec.origin)
        sources[name] = sha256_file(path)
        waiting.extend(_imported_names(path, name))
    return sha256_bytes("".join(f"{name} {digest}\n" for name, digest in sorted(sources.items())).encode())


@functools.cache  # most modules belong to several stages
def _imported_names(path: Path, module: str) -> list[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            # `from . import losses` names a module, `from .losses import cosine` a value in one: try both.
            candidates = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            names.extend(name for name in candidates if name != "pocketrank" and _is_module(name))
    return names


def _is_module(name: str) -> bool:
    parent = importlib.util.find_spec(name.rpartition(".")[0])
    if parent is None or parent.submodule_search_locations is None:
        return False
    return importlib.util.find_spec(name) is not None
