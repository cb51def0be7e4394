"""Which folders are no teachers that can be read, found without loading a model; each is refused with what to do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....runtime.errors import InputError
from ....runtime.files import read_json, safe_join

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_SERVE_IT = "serve it and give the endpoint"
_CONVERT = (
    "SentenceTransformer(FOLDER).save_pretrained(NEW_FOLDER) of sentence-transformers writes model.safetensors; "
    "do it where you trust the file, and name the new folder"
)
_TOKENIZERS = ("tokenizer.json", "vocab.*", "*.model", "whitespacetokenizer_config.json")  # any of them is enough
_CONFIGURATIONS = ("config.json", "tokenizer_config.json")  # where `auto_map` names code


def refuse_file(name: str) -> None:
    """Refuse a `teacher.model` that names one file rather than a folder."""
    if name.endswith(".gguf"):
        raise InputError(f"teacher.model = {name!r}: GGUF is not read; {_SERVE_IT}")
    if Path(name).is_file():
        raise InputError(f"teacher.model = {name!r} is a file; name the folder of a sentence-transformers model")


def check_folder(folder: Path) -> list[Path]:
    """Return the weight files of every module; raise `InputError` for a folder that is no teacher that can be read."""
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights and any(folder.rglob("*.gguf")):
        raise InputError(f"{folder} holds GGUF weights, and GGUF is not read; {_SERVE_IT}")
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise InputError(
            f"{folder} has neither modules.json nor config.json; name the folder of a sentence-transformers model"
        )
    for path in sorted(path for path in folder.rglob("*") if path.suffix in PICKLED):
        if not any(other.parent == path.parent for other in weights):
            raise InputError(f"{path}: pickled weights are refused because loading them can run code; {_CONVERT}")
    if not weights:
        raise InputError(f"{folder} has no weights (model.safetensors); complete the folder or name another teacher")
    _refuse_code(folder)
    _refuse_kinds(folder)
    for path in weights:
        check_whole(path)
    if not any(path for name in _TOKENIZERS for path in folder.rglob(name)):
        raise InputError(f"{folder} has no tokenizer (tokenizer.json); complete the folder, or name another teacher")
    for path in sorted(folder.rglob("*.json")):
        read_json(path)
    for index in folder.rglob("*.safetensors.index.json"):
        _check_shards(index)
    return weights


def configuration(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where there is no file; raise `InputError` for anything else in it."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: an object is needed; complete the folder again, or name another teacher")
    return value


def _modules(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "modules.json"
    modules = read_json(path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise InputError(f"{path}: a list of modules is needed; complete the folder again, or name another teacher")
    yield from modules


def _refuse_code(folder: Path) -> None:
    """Refuse folders whose model is code of their own: without it they would give other vectors, or none."""
    for module in _modules(folder):
        if module.get("path") not in (None, "", "."):
            safe_join(folder, str(module["path"]))
        if not str(module.get("type", "")).startswith("sentence_transformers."):
            raise InputError(
                f"{folder / 'modules.json'}: the module type {module.get('type')!r} is not part of "
                f"sentence-transformers, and code from elsewhere is not run; choose another teacher, or {_SERVE_IT}"
            )
    for path in sorted(path for name in _CONFIGURATIONS for path in folder.rglob(name)):
        if configuration(path).get("auto_map"):
            raise InputError(
                f"{path} names code of its own (auto_map), which is not run; choose another teacher, or {_SERVE_IT}"
            )


def _refuse_kinds(folder: Path) -> None:
    """Refuse models that are not for one vector a text, as far as their configurations say what they are."""
    types = [str(module.get("type", "")) for module in _modules(folder)]
    kind = configuration(folder / "config_sentence_transformers.json").get("model_type")
    if kind == "SparseEncoder" or any(".sparse_encoder." in name for name in types):
        raise InputError(
            f"{folder} is a sparse encoder, such as SPLADE, whose vectors are weights of words; name a model of dense "
            "vectors under teacher.model"
        )
    if any(".multi_vector_encoder." in name for name in types):
        raise InputError(f"{folder} gives many vectors a text, as ColBERT does; name a model of one vector a text")
    config = folder / "config.json"
    if configuration(config).get("quantization_config"):
        raise InputError(
            f"{config}: quantized weights are not read; name the model in float32, float16 or bfloat16, or {_SERVE_IT}"
        )
    parts = [key for key in ("vision_config", "audio_config") if configuration(config).get(key)]
    if parts or any(name.endswith((".CLIPModel", ".CLIPModule")) for name in types):
        what = f"{config} has {parts[0]}" if parts else f"{folder} is a CLIP model"
        raise InputError(
            f"{what}: models that also read images or sound are no teachers here; choose one of texts, or {_SERVE_IT}"
        )


def check_whole(path: Path) -> None:
    """Check that a safetensors file has all the bytes that its header announces, without reading its tensors."""
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size < 1024 and path.read_bytes().startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is only a pointer to the weights; run `git lfs pull` in its folder")
    try:
        with safe_open(path, "np"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no whole safetensors file ({error}); copy or fetch it again") from None


def _check_shards(index: Path) -> None:
    names = configuration(index).get("weight_map")
    if not isinstance(names, dict):
        raise InputError(f"{index} has no weight_map; copy or fetch it again")
    for name in sorted({str(value) for value in names.values()}):
        if not (index.parent / name).is_file():
            raise InputError(f"{index} names {json.dumps(name)}, which is not there; copy or fetch it again")
