"""Fingerprints of what a stage reads from outside the run's folder, and of the code that it runs.

They are parts of a stage's key: changed data, another teacher, another version of a library or of our own code makes
the stage run again.
"""

import ast
import functools
import importlib.util
import platform
from importlib import metadata
from pathlib import Path

from ..runtime.errors import InputError
from ..runtime.files import sha256_bytes, sha256_file
from .general import general_fingerprint
from .losses import LIST_LOSSES
from .settings import Recipe

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
    )
)


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions that results depend on: Python, the machine type and the libraries at hand."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def corpus_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return what the corpus source looks like now: package versions, or the hashes of its files."""
    settings = recipe.corpus
    if settings.source == "pydocs":
        return {name: _package_version(name) for name in settings.packages}
    if settings.source == "hub":
        return {"hub": f"{settings.path}@{settings.revision}"}
    root = Path(settings.path)
    if not settings.path or not root.exists():
        raise InputError(f"corpus.path = {settings.path!r} does not exist; name a folder or file that does")
    return {str(file.relative_to(root.parent)): sha256_file(file) for file in _data_files(root)}


def queries_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hashes of the files of texts to train on."""
    missing = [name for name in recipe.queries.files if not Path(name).is_file()]
    if missing:
        raise InputError(f"queries.files: {missing[0]!r} is not a file; name a text file with one text a line")
    return {name: sha256_file(Path(name)) for name in recipe.queries.files}


def vocabulary_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the fingerprint of the teacher whose pieces the vocabulary takes; nothing where it takes none."""
    if recipe.vocabulary.kind != "teacher":
        return {}
    return _model_fingerprint(recipe.teacher.model, recipe.teacher.revision)


def teacher_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hash of a local teacher's weights, the version of a packaged one, or the revision of a hub one."""
    found = _model_fingerprint(recipe.teacher.model, recipe.teacher.revision)
    for number, further in enumerate(recipe.teacher.further):
        files = _model_fingerprint(further.model, further.revision)
        found |= {f"further {number}: {name}": value for name, value in files.items()}
    return found


def cross_encoder_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hash of a local cross-encoder, or the revision of a hub one.

    Raises `InputError` for a recipe that lets it score and then has no loss for the scores, before it does.
    """
    settings = recipe.cross_encoder
    if not settings.model:
        return {}
    named = [name for name in LIST_LOSSES if recipe.distill.losses.get(name)]
    if "scores" in settings.use and not named:
        raise InputError(
            f'cross_encoder.use has "scores", but distill.losses names no list loss; '
            f"add one of {', '.join(sorted(LIST_LOSSES))} with a weight, such as list_scores = 0.5"
        )
    return _model_fingerprint(settings.model, settings.revision)


def _model_fingerprint(model: str, revision: str) -> dict[str, str]:
    if model.startswith("package:"):
        return {model: _package_version(model.removeprefix("package:"))}
    folder = Path(model)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): sha256_file(path) for path in files}
    return {model: revision}


def distill_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the fingerprints of what a student starts from, and the quantization where training rounds its weights."""
    found = teacher_fingerprint(recipe)
    if recipe.student.initialise == "general" and recipe.student.kind == "transformer":
        found |= general_fingerprint(recipe.student)
    return found | {"quantize": repr(recipe.quantize)} if recipe.distill.quantize_aware_steps else found


def gate_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hashes of the budget and the baseline."""
    paths = [path for path in (recipe.gate.budget, recipe.gate.baseline) if path]
    return {str(index): sha256_file(Path(path)) for index, path in enumerate(paths)}


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


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _data_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
