"""The kinds of model that are refused as teachers before the first stage, each with what it is made of."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import transformers
from safetensors.numpy import load_file, save_file

from experiments.teachers.kinds import folders
from experiments.teachers.kinds.accepted import plain
from experiments.teachers.kinds.folders import SHAPE


@dataclass(frozen=True)
class RefusedKind:
    """One kind of model that is no teacher."""

    name: str
    write: Callable[[Path], str]  # makes it in a new folder and returns what the recipe names
    key: str = "teacher.model"  # where the recipe names it


def _folder(change: Callable[[Path], None]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        plain(folder)
        shutil.rmtree(folder / "parts")
        change(folder)
        return str(folder)

    return write


def _gguf(folder: Path) -> str:
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")
    return str(folder / "model.gguf")


def _gguf_folder(folder: Path) -> str:
    return str(Path(_gguf(folder)).parent)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "tf_model.h5")


def _cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])


def _not_finite(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.weight"] = np.full(folders.WIDTH, np.nan, np.float32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _modules(*types: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rows = [{"idx": n, "name": str(n), "path": "", "type": name} for n, name in enumerate(types)]
        (folder / "modules.json").write_text(json.dumps(rows), encoding="utf-8")

    return change


def _config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), encoding="utf-8")

    return change


def _adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "config.json").unlink()
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "their/model"}
    (folder / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")


def _cross_encoder(labels: int) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        config = transformers.BertConfig(vocab_size=folders.wordpiece(folder), **SHAPE)
        config.num_labels = labels
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        return str(folder)

    return write


def _clip(folder: Path) -> str:
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={"vocab_size": folders.wordpiece(folder), "max_position_embeddings": 64, **shape},
        vision_config={"image_size": 8, "patch_size": 4, **shape},
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    _modules("sentence_transformers.models.CLIPModel")(folder)
    return str(folder)


_LIBRARY = "sentence_transformers.models"
_SPARSE = "sentence_transformers.sparse_encoder.models"
_CODE = {"model_type": "own", "auto_map": {"AutoModel": "own.Own"}}
_GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
_SPLADE = (f"{_SPARSE}.MLMTransformer", f"{_SPARSE}.SpladePooling")
_MANY = (f"{_LIBRARY}.Transformer", "sentence_transformers.multi_vector_encoder.modules.MultiVectorMask")

REFUSED = (
    RefusedKind("a GGUF file", _gguf),
    RefusedKind("a folder with a GGUF file alone", _gguf_folder),
    RefusedKind("pickled weights (.bin, .pt, .ckpt)", _folder(_pickled)),
    RefusedKind("weights of TensorFlow or Flax alone", _folder(_no_weights)),
    RefusedKind("weights that are cut off", _folder(_cut_off)),
    RefusedKind("weights that are not finite", _folder(_not_finite)),
    RefusedKind("weights quantized by GPTQ, AWQ or bitsandbytes", _folder(_config(**_GPTQ))),
    RefusedKind("an architecture that comes as code", _folder(_config(**_CODE))),
    RefusedKind("a module that comes as code", _folder(_modules(f"{_LIBRARY}.Transformer", "own.Pooling"))),
    RefusedKind("a module that the library lacks", _folder(_modules(f"{_LIBRARY}.Transformer", f"{_LIBRARY}.Own"))),
    RefusedKind("a sparse encoder (SPLADE)", _folder(_modules(*_SPLADE))),
    RefusedKind("a model of many vectors a text (ColBERT)", _folder(_modules(*_MANY))),
    RefusedKind("a model of images and texts (CLIP)", _clip),
    RefusedKind("a PEFT adapter of a model that is not here", _folder(_adapter)),
    RefusedKind("a cross-encoder", _cross_encoder(1)),
    RefusedKind("a cross-encoder of 2 labels", _cross_encoder(2), "cross_encoder.model"),
    RefusedKind("a hub id without a commit", lambda _: "sentence-transformers/all-MiniLM-L6-v2"),
    RefusedKind("a folder that is not there", lambda folder: str(folder / "nowhere")),
)
