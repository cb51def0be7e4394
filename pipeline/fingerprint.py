"""Fingerprints of what a stage reads from outside the run's folder, and of the code that it runs.

They are parts of a stage's key: changed data, another teacher, another version of a library or of our own code makes
the stage run again.
"""

from pathlib import Path

from ..runtime.documents.document import valid_name
from ..runtime.documents.kinds import find_sources
from ..runtime.documents.remarks import Remarks
from ..runtime.errors import InputError
from ..runtime.files import sha256_file
from ..runtime.manifest import MANIFEST_NAME
from .code_version import library_version
from .precomputed.lookup import is_precomputed, vectors_fingerprint
from .settings import Recipe
from .student.pretrained import general_fingerprint
from .teacher.model_folder.adapter import adapted_model
from .teacher.vectors.kept_space import kept_space
from .training.accelerator import ChosenDevice, describe_device, usable_device


def corpus_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return what the corpus source looks like now, and the vectors without which a text is left out."""
    return _source_fingerprint(recipe) | vectors_fingerprint(recipe.teacher)


def _source_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return package versions, or the hashes of files."""
    settings = recipe.corpus
    if settings.source == "pydocs":
        return {name: library_version(name) for name in settings.packages}
    if settings.source == "hub":
        return {"hub": f"{settings.path}@{settings.revision}"}
    root = Path(settings.path)
    if not settings.path or not root.exists():
        raise InputError(f"corpus.path = {settings.path!r} does not exist; name a folder or file that does")
    if settings.source == "texts":
        return {source.label: sha256_file(source.path) for source in find_sources(root, Remarks())}
    return {valid_name(str(file.relative_to(root.parent))): sha256_file(file) for file in _data_files(root)}


def queries_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hashes of the files of texts to train on, and of vectors without which a text is left out."""
    return {name: sha256_file(Path(name)) for name in recipe.queries.files} | vectors_fingerprint(recipe.teacher)


def vocabulary_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the fingerprint of the teacher whose tokens the vocabulary takes; nothing where it takes none."""
    if recipe.vocabulary.kind != "teacher":
        return {}
    return _model_fingerprint(recipe.teacher.model, recipe.teacher.revision)


def teacher_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hash of a local teacher's weights, the version of a packaged one, or the revision of a hub one.

    The vector space that the recipe keeps belongs to it.
    """
    fingerprint = _model_fingerprint(recipe.teacher.model, recipe.teacher.revision)
    for number, member in enumerate(recipe.teacher.ensemble):
        files = _model_fingerprint(member.model, member.revision)
        fingerprint |= {f"ensemble {number}: {name}": value for name, value in files.items()}
    if space := kept_space(recipe.teacher):
        fingerprint["space"] = space.manifest.space
    return fingerprint | vectors_fingerprint(recipe.teacher)


def passages_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the fingerprint of the teacher where passages are made, which it labels."""
    return {"passages": "made"} | teacher_fingerprint(recipe) if recipe.distill.passage_share else {}


def cross_encoder_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hash of a local cross-encoder, or the revision of a hub one."""
    settings = recipe.cross_encoder
    if not settings.model:
        return {}
    return _model_fingerprint(settings.model, settings.revision) | _device_fingerprint(settings.device)


def _model_fingerprint(model: str, revision: str) -> dict[str, str]:
    if is_precomputed(model):
        return {model: ""}
    if model.startswith("package:"):
        return {model: library_version(model.removeprefix("package:"))}
    folder = Path(model)
    if folder.is_dir():
        base = adapted_model(folder)
        adapted = (
            {f"adapted: {name}": value for name, value in _model_fingerprint(str(base), "").items()} if base else {}
        )
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return adapted | {valid_name(str(path.relative_to(folder))): sha256_file(path) for path in files}
    return {model: revision}


def distill_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the fingerprints of what a student starts from, and the quantization where training rounds its weights."""
    fingerprint = teacher_fingerprint(recipe)
    if recipe.student.initialise in ("general", "auto") and recipe.student.kind == "transformer":
        fingerprint |= general_fingerprint(recipe.student)
    if recipe.distill.quantize_aware_steps:
        fingerprint["quantize"] = repr(recipe.quantize)
    return fingerprint | _device_fingerprint(recipe.distill.device)


def _device_fingerprint(wanted: ChosenDevice) -> dict[str, str]:
    """Return what an accelerator's numbers depend on; nothing for the processor."""
    device = usable_device(wanted)
    return {} if device == "cpu" else {"device": describe_device(device)}


def gate_fingerprint(recipe: Recipe) -> dict[str, str]:
    """Return the hashes of the budget and the baseline."""
    paths = [Path(path) for path in (recipe.gate.budget, recipe.gate.baseline) if path]
    files = (path / MANIFEST_NAME if path.is_dir() else path for path in paths)
    return {str(index): sha256_file(path) for index, path in enumerate(files)}


def _data_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    files = (path for path in root.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts))
