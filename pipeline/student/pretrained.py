"""Start a student from the general one: pretrained once on plain English, specialised in minutes.

A general student is a bundle, whose stored weights are widened again, or the folder `student` of a run with the
`tokenizer.json` that it reads with; one bundle comes with the package. `layer_transfer.py` says how its token vectors
and its layers get into another vocabulary and another shape.
"""

from pathlib import Path

from ...export.graph.stored_weights import read_stored_weights
from ...export.graph.weights import (
    PROJECTION,
    PROJECTION_BIAS,
    TABLE,
    TABLE_FACTOR,
    TOKEN_WEIGHTS,
    read_weights,
)
from ...runtime.errors import InputError
from ...runtime.files import sha256_file
from ...runtime.manifest import MANIFEST_NAME, listed_file, read_manifest
from ...runtime.packaged import GENERAL, packaged_folder
from ...runtime.text.tokenizer_file import open_tokenizer
from ..settings import StudentSettings
from .initialization import Source
from .model import StudentShape, TrainedEncoder


def general_folder(settings: StudentSettings) -> Path:
    """Return the folder that `student.general` names; raise an error that names the file that is missing."""
    if not settings.general:
        return packaged_folder(GENERAL, 'set student.initialise = "teacher"') / "bundle"
    folder = Path(settings.general)
    if not folder.is_dir():
        raise InputError(f"student.general = {settings.general!r} is no folder; name a general student's folder")
    if not (folder / "config.json").is_file() and (folder / "student").is_dir():
        folder = folder / "student"  # a run
    for file in _files(folder).values():
        if not file.is_file():
            raise InputError(
                f"{file} does not exist, and a general student needs it; name a bundle or the folder "
                f'`student` of a finished run in student.general, or set student.initialise = "teacher"'
            )
    return folder


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of configuration, weights and tokenizer."""
    names = {"config": "config.json", "weights": "model.safetensors", "tokenizer": "tokenizer.json"}
    if not (folder / MANIFEST_NAME).is_file():
        return {part: folder / name for part, name in names.items()}
    manifest = read_manifest(folder)
    names["weights"] = manifest.variants[manifest.default_variant].file
    return {part: listed_file(folder, manifest, name) for part, name in names.items()}


def general_fingerprint(settings: StudentSettings) -> dict[str, str]:
    """Return the hashes of the files that a student starts from."""
    return {f"general/{part}": sha256_file(file) for part, file in _files(general_folder(settings)).items()}


def read_general(folder: Path) -> Source:
    """Read a general student; raise `InputError` for a file that is broken or does not fit the others."""
    import torch

    config_file, weights_file, tokenizer_file = _files(folder).values()
    stored = weights_file.suffix == ".onnx"
    weights = read_stored_weights(config_file, weights_file) if stored else read_weights(folder)
    tensors = {name: value for name, value in weights.tensors.items() if name not in (PROJECTION, PROJECTION_BIAS)}
    if TOKEN_WEIGHTS in tensors or not weights.layers:
        raise InputError(f"{folder} is a static student, and layers are needed; name another in student.general")
    if weights.config["model_type"] != "bert":
        raise InputError(f"{config_file}: a general student is a BERT; name another in student.general")
    table = tensors.pop(TABLE)
    if TABLE_FACTOR in tensors:
        table = table @ tensors.pop(TABLE_FACTOR).T
    tokenizer = open_tokenizer(tokenizer_file, "copy the one that the student was trained with", InputError)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= len(table):
        raise InputError(
            f"{tokenizer_file} has ids up to {highest}, {weights_file} has {len(table)} rows; "
            f"take both from the same run"
        )
    shape = StudentShape.of_config(weights.config, tensors)
    encoder = TrainedEncoder(shape, {name: torch.from_numpy(value) for name, value in tensors.items()})
    return Source(table, tokenizer, encoder)
