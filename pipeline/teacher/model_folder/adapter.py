"""Adapters of PEFT (LoRA and its kin): the model that one adapts, and the two made one.

An adapter is read where the model that it adapts is a local folder: looked up by a name without a revision, it could be
any.
"""

import importlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ....runtime.errors import InputError
from ....runtime.extras import require
from ....runtime.files import read_json
from .unreadable import PICKLED, check_folder, check_whole, configuration

CONFIGURATION, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def adapted_model(folder: Path) -> Path | None:
    """Return the folder of the model that the adapter in `folder` changes; `None` where there is no adapter.

    Raises `InputError` when that model is not a local folder.
    """
    path = folder / CONFIGURATION
    if not path.is_file():
        return None
    named = configuration(path).get("base_model_name_or_path")
    base = folder / str(named)  # an absolute one stays as it is
    if not named or not base.is_dir():
        raise InputError(
            f"{folder} is a PEFT adapter of {named!r}, which is no folder here; name that of its model as "
            f"base_model_name_or_path in {path}, or merge them once with `merge_and_unload()` of peft"
        )
    return base.resolve()


def check_adapter(folder: Path, base: Path) -> list[Path]:
    """Return the weight files of adapter and model; errors are those of `check_folder`, and the extra's."""
    weights = folder / WEIGHTS
    if not weights.is_file():
        pickled = any(path.suffix in PICKLED for path in folder.iterdir())
        reason = "pickled weights are refused because loading them can run code" if pickled else "copy the whole folder"
        raise InputError(f"{folder} is a PEFT adapter without {WEIGHTS}; {reason}")
    check_whole(weights)
    if (base / CONFIGURATION).is_file():
        raise InputError(f"{base}, which {folder} adapts, is an adapter too; merge it with its model first")
    require(f"the PEFT adapter {folder}", "peft")
    return [weights, *check_folder(base)]


@contextmanager
def whole_model(folder: Path) -> Iterator[Path]:
    """Give the folder to load: `folder` itself, or a temporary one of the model with its adapter merged into it.

    Pooling and prompts are those of the adapter's folder where it has a `modules.json`, else those of its model.
    """
    base = adapted_model(folder)
    if base is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        whole = Path(name) / "model"
        modules = folder if (folder / "modules.json").is_file() else base
        shutil.copytree(modules, whole, ignore=shutil.ignore_patterns("adapter_*"))
        transformer = whole / _transformer(modules)
        for old in transformer.glob("model*.safetensors*"):
            old.unlink()
        _merge(folder, base / _transformer(base), transformer)
        yield whole


def _transformer(folder: Path) -> str:
    """Return where in a folder of modules the transformer is; nothing for the folder itself."""
    path = folder / "modules.json"
    modules = read_json(path) if path.is_file() else []
    return str(modules[0].get("path") or "") if modules else ""


def _merge(folder: Path, base: Path, whole: Path) -> None:
    """Write the merged transformer into `whole`, in float32, with its tokenizer where that is missing."""
    from transformers import AutoModel, AutoTokenizer

    peft = importlib.import_module("peft")

    model = AutoModel.from_pretrained(str(base), local_files_only=True, use_safetensors=True).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UserWarning)  # of weights that do not fit, which would be left as they begin
        try:
            adapted = peft.PeftModel.from_pretrained(model, str(folder))
        except (Warning, ValueError, KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{folder} does not fit {base} ({reason}); name the model that it adapts") from None
    adapted.merge_and_unload().save_pretrained(str(whole))
    if not (whole / "tokenizer.json").is_file():
        AutoTokenizer.from_pretrained(str(base), local_files_only=True).save_pretrained(str(whole))
