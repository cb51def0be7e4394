"""Write the trained student as a folder that sentence-transformers opens with PyTorch, to evaluate or train it on.

Modules: Transformer, Pooling (mean), Dense (the projection, no activation), Normalize. The projection stands behind
the pooling here and before it in the graphs; both are linear, so the vectors are the same. A static student has
StaticEmbedding, Dense (for a narrow table) and Normalize, which sentence-transformers opens from version 3.2 on.
StaticEmbedding puts no special tokens around a text, so the length to cut at leaves them out, and its vector of a text
without words is zero.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import json_bytes, write_bytes
from ...runtime.manifest import TOKENIZER_NAME
from ..graph.weights import PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS, TransformerWeights
from .tokenizer import compact_tokenizer

_SPECIAL = 2  # [CLS] and [SEP]


def write_torch_folder(
    folder: Path,
    weights: TransformerWeights,
    tokenizer: bytes,
    opener_files: dict[str, Any],
    per_token: bool = False,
) -> None:
    """Write the student into the new folder `folder`.

    `opener_files` are those of the bundle (`export.bundle.opener_files`): name -> content. With `per_token` the
    projection stands before the pooling, as in the graphs; sentence-transformers 5.7 reads that, older ones may only
    know the usual order. Raises `InputError` for a student with learned token weights, which no module expresses;
    those of a static one are folded in beforehand.
    """
    if TOKEN_WEIGHTS in weights.tensors:
        raise InputError("the student has learned token weights, which sentence-transformers cannot load; use the ONNX")
    tensors, tokenizer = dict(weights.tensors), compact_tokenizer(tokenizer)
    dense = {"linear.weight": tensors.pop(PROJECTION)} if PROJECTION in tensors else {}
    dense |= {"linear.bias": tensors.pop(PROJECTION_BIAS)} if PROJECTION_BIAS in tensors else {}
    if weights.static:
        files = {"config_sentence_transformers.json": opener_files["config_sentence_transformers.json"]}
        modules, place = [("StaticEmbedding", ""), ("Normalize", "2_Normalize")], 1
        tensors = {"embedding.weight": tensors[TABLE]}
        tokenizer = _truncating(tokenizer, opener_files["tokenizer_config.json"]["model_max_length"] - _SPECIAL)
    else:
        if TABLE_FACTOR in tensors:
            tensors[TABLE] = tensors[TABLE] @ tensors.pop(TABLE_FACTOR).T
        pooled = {"word_embedding_dimension": weights.dimension if per_token else weights.hidden}
        files = opener_files | {"1_Pooling/config.json": opener_files["1_Pooling/config.json"] | pooled}
        modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "3_Normalize")]
        place = 1 if per_token else 2
    if dense:
        path = "1_Dense" if weights.static else "2_Dense"
        modules.insert(place, ("Dense", path))
        files[f"{path}/config.json"] = {
            "in_features": weights.hidden,
            "out_features": weights.dimension,
            "bias": "linear.bias" in dense,
            "activation_function": "torch.nn.modules.linear.Identity",
        } | ({"module_input_name": "token_embeddings"} if per_token else {})
        _write_tensors(folder / path, dense)
    files["modules.json"] = modules_list(modules)
    for name, content in files.items():
        write_bytes(folder / name, json_bytes(content))
    write_bytes(folder / TOKENIZER_NAME, tokenizer)
    _write_tensors(folder, tensors)


def modules_list(modules: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the content of `modules.json`; `modules` are names and folders."""
    return [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (name, path) in enumerate(modules)
    ]


def _write_tensors(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    write_bytes(folder / "model.safetensors", save(whole, {"format": "pt"}))


def _truncating(tokenizer: bytes, length: int) -> bytes:
    content = json.loads(tokenizer)
    content["truncation"] = {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
