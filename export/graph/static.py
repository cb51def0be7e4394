"""Static students: a token's vector does not depend on its neighbours, the text's is the weighted mean.

Whoever pools by the plain mean must get the same vector, so the learned weight of a token is folded into its row
before anything is written: the mean of the folded rows is the weighted mean up to its length, which the
normalisation takes away. So the weights cost no byte of the file.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.files import json_bytes, write_bytes
from ...runtime.manifest import TOKENIZER_NAME
from .weights import PROJECTION, TABLE, TOKEN_WEIGHTS, TransformerWeights

_LARGEST = 1024.0  # of the folded table, so that scales of the lightest row ([CLS]) stay in the range of float16
SPECIAL = 2  # [CLS] and [SEP]
DENSE = "1_Dense"
NORMALIZE = "2_Normalize"


def fold_token_weights(weights: TransformerWeights) -> TransformerWeights:
    """Return a static student without token weights; any other is returned as it is."""
    if not weights.static or TOKEN_WEIGHTS not in weights.tensors:
        return weights
    tensors = dict(weights.tensors)
    rows = tensors[TABLE] * tensors.pop(TOKEN_WEIGHTS)[:, None]
    # A power of two changes no digit, and the length of all rows together changes no vector.
    step = np.floor(np.log2(_LARGEST / max(float(np.abs(rows).max()), 1e-30)))
    return dataclasses.replace(weights, tensors=tensors | {TABLE: rows * np.float32(2.0**step)})


def write_static_folder(folder: Path, weights: TransformerWeights, tokenizer: bytes, files: dict[str, Any]) -> None:
    """Write a folded static student as the modules StaticEmbedding, Dense (for a narrow table) and Normalize.

    sentence-transformers opens it from version 3.2 on. StaticEmbedding puts no special tokens around a text, so the
    length to cut at leaves them out, and its vector of a text without words is zero.
    """
    from safetensors.numpy import save

    names, paths = ["StaticEmbedding", "Normalize"], ["", NORMALIZE]
    kept = {"config_sentence_transformers.json": files["config_sentence_transformers.json"]}
    if PROJECTION in weights.tensors:
        names.insert(1, "Dense")
        paths.insert(1, DENSE)
        kept[f"{DENSE}/config.json"] = {
            "in_features": weights.hidden,
            "out_features": weights.dimension,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        projection = np.ascontiguousarray(weights.tensors[PROJECTION])
        write_bytes(folder / DENSE / "model.safetensors", save({"linear.weight": projection}, {"format": "pt"}))
    kept["modules.json"] = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{name}"}
        for index, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    for name, content in kept.items():
        write_bytes(folder / name, json_bytes(content))
    table = np.ascontiguousarray(weights.tensors[TABLE])
    write_bytes(folder / "model.safetensors", save({"embedding.weight": table}, {"format": "pt"}))
    longest = int(files["tokenizer_config.json"]["model_max_length"]) - SPECIAL
    write_bytes(folder / TOKENIZER_NAME, _truncating(tokenizer, longest))


def _truncating(tokenizer: bytes, length: int) -> bytes:
    content = json.loads(tokenizer)
    content["truncation"] = {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
