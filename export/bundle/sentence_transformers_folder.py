"""Write the trained student as a folder that sentence-transformers opens with PyTorch, to evaluate or train it on.

Modules: Transformer, Pooling (mean), Dense (the projection, no activation), Normalize. The projection stands behind
the pooling here and before it in the graphs; both are linear, so the vectors are the same.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import json_bytes, write_bytes
from ...runtime.manifest import TOKENIZER_NAME
from ..graph.static import write_static_folder
from ..graph.weights import PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS, TransformerWeights
from .tokenizer import compact_tokenizer

DENSE = "2_Dense"


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
    know the usual order. A static student becomes a StaticEmbedding (`graph/static.py`), its token weights folded in
    beforehand. Raises `InputError` for a student with learned token weights, which no module expresses.
    """
    from safetensors.numpy import save

    if TOKEN_WEIGHTS in weights.tensors:
        raise InputError("the student has learned token weights, which sentence-transformers cannot load; use the ONNX")
    if weights.static:
        write_static_folder(folder, weights, compact_tokenizer(tokenizer), opener_files)
        return
    tensors = dict(weights.tensors)
    projection, bias = tensors.pop(PROJECTION, None), tensors.pop(PROJECTION_BIAS, None)
    if TABLE_FACTOR in tensors:
        tensors[TABLE] = tensors[TABLE] @ tensors.pop(TABLE_FACTOR).T
    files = dict(opener_files)
    names = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "3_Normalize"]
    pooled = weights.dimension if per_token else weights.hidden
    files["1_Pooling/config.json"] = files["1_Pooling/config.json"] | {"word_embedding_dimension": pooled}
    if projection is not None:
        place = 1 if per_token else 2
        names.insert(place, "Dense")
        paths.insert(place, DENSE)
        files[f"{DENSE}/config.json"] = {
            "in_features": weights.hidden,
            "out_features": weights.dimension,
            "bias": bias is not None,
            "activation_function": "torch.nn.modules.linear.Identity",
        } | ({"module_input_name": "token_embeddings"} if per_token else {})
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
