"""Write the trained student as a folder that sentence-transformers opens with PyTorch, to evaluate or train it on.

Modules: Transformer, Pooling (mean), Dense (the projection, no activation), Normalize. The projection stands behind
the pooling here and before it in the graphs; both are linear, so the vectors are the same.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InputError
from ..runtime.files import json_bytes, write_bytes
from ..runtime.manifest import TOKENIZER_NAME
from .tokenizer import compact_tokenizer
from .weights import PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS, TransformerWeights

DENSE = "2_Dense"


def write_torch_folder(
    folder: Path, weights: TransformerWeights, tokenizer: bytes, opener_files: dict[str, Any]
) -> None:
    """Write the student into the new folder `folder`.

    `opener_files` are those of the bundle (`export.bundle.opener_files`): name -> content. Raises `InputError` for a
    student with learned token weights, which no module of sentence-transformers expresses.
    """
    from safetensors.numpy import save

    if TOKEN_WEIGHTS in weights.tensors:
        raise InputError("the student has learned token weights, which sentence-transformers cannot load; use the ONNX")
    tensors = dict(weights.tensors)
    projection, bias = tensors.pop(PROJECTION, None), tensors.pop(PROJECTION_BIAS, None)
    if TABLE_FACTOR in tensors:
        tensors[TABLE] = tensors[TABLE] @ tensors.pop(TABLE_FACTOR).T
    files = dict(opener_files)
    names = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "3_Normalize"]
    files["1_Pooling/config.json"] = files["1_Pooling/config.json"] | {"word_embedding_dimension": weights.hidden}
    if projection is not None:
        names.insert(2, "Dense")
        paths.insert(2, DENSE)
        files[f"{DENSE}/config.json"] = {
            "in_features": weights.hidden,
            "out_features": weights.dimension,
            "bias": bias is not None,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        dense = {"linear.weight": projection} | ({} if bias is None else {"linear.bias": bias})
        write_bytes(folder / DENSE / "model.safetensors", save(_contiguous(dense), {"format": "pt"}))
    files["modules.json"] = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    for name, content in files.items():
        write_bytes(folder / name, json_bytes(content))
    write_bytes(folder / TOKENIZER_NAME, compact_tokenizer(tokenizer))
    write_bytes(folder / "model.safetensors", save(_contiguous(tensors), {"format": "pt"}))


def _contiguous(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
