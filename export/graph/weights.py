"""Read the weights of a BERT-family encoder, ours or a teacher's, for the graph writer."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_bytes, read_json

# Model type -> how many rows of the position table come before the first position. The RoBERTa family keeps
# padding_idx + 1 unused rows there.
_FIRST_POSITION = {"bert": 0, "roberta": 2, "xlm-roberta": 2, "camembert": 2}

_REQUIRED_KEYS = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "vocab_size")

TABLE = "embeddings.word_embeddings.weight"
TABLE_FACTOR = "embeddings.word_factor.weight"  # low-rank table: rows of TABLE have r values, the factor is [hidden, r]
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
PROJECTION = "projection.weight"
PROJECTION_BIAS = "projection.bias"
TOKEN_WEIGHTS = "token_weights"
_LARGEST = 1024.0  # of a folded table, so that scales of the lightest row ([CLS]) stay in the range of float16


@dataclass(frozen=True)
class TransformerWeights:
    """An encoder's configuration (keys of the Hugging Face `BertConfig`) and its tensors.

    Tensors carry the names of `BertModel` without a prefix, as float32. Linear layers are [out, in]. Optional:
    `projection.weight` [d, hidden] and `projection.bias` [d] (applied to every token output before pooling),
    `token_weights` [V] (weight of a token in the mean), and `embeddings.word_factor.weight` [hidden, r] when the
    token table is factored. Without layers and positions the encoder is static: a token's output is its row.
    """

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return int(self.config["num_hidden_layers"])

    @property
    def static(self) -> bool:
        """Whether a token's output is its row of the table, whatever stands around it."""
        return POSITIONS not in self.tensors

    @property
    def longest(self) -> int:
        """Tokens of the longest text that it reads."""
        return int(self.config["max_position_embeddings"]) if self.static else len(self.positions())

    @property
    def hidden(self) -> int:
        """Width of the token outputs before the projection."""
        return int(self.config["hidden_size"])

    @property
    def dimension(self) -> int:
        """Width of the sentence embedding."""
        projection = self.tensors.get(PROJECTION)
        return self.hidden if projection is None else int(projection.shape[0])

    def positions(self) -> np.ndarray:
        """Return the position rows [max positions, hidden] with the first token type's row added to each."""
        rows = self.tensors[POSITIONS][_FIRST_POSITION[self.config["model_type"]] :]
        types = self.tensors.get(TOKEN_TYPES)
        return rows if types is None else rows + types[0]


def read_weights(folder: Path) -> TransformerWeights:
    """Read `config.json` and `model.safetensors` of a BERT-family folder.

    Raises `InputError` for another architecture, missing weights, and tensors whose shapes disagree with the
    configuration.
    """
    config = read_config(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.exists():
        raise InputError(f"{folder} has no model.safetensors; download the weights in the safetensors format")
    tensors = {_plain_name(name): value for name, value in read_tensors(path).items()}
    weights = TransformerWeights(config, tensors)
    _check(weights, path)
    return weights


def read_config(path: Path) -> dict[str, Any]:
    """Read a Hugging Face configuration and refuse what the graph writer cannot express."""
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: a JSON object is needed; fix the file")
    kind = config.get("model_type")
    if kind not in _FIRST_POSITION:
        known = ", ".join(_FIRST_POSITION)
        raise InputError(f"{path}: model_type {kind!r} is not one that the graph writer knows; use one of {known}")
    for key in _REQUIRED_KEYS:
        if key not in config:
            raise InputError(f"{path}: the key {key!r} is missing; take the configuration that came with the weights")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(f"{path}: only absolute position embeddings can be written; choose another teacher")
    if config.get("is_decoder"):
        raise InputError(f"{path}: a decoder cannot be written as an encoder graph; choose another teacher")
    return config


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read every floating-point tensor of a safetensors file as float32; integer tensors are left out."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(read_bytes(path))
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); download or write it again") from None
    except KeyError as error:  # a type that numpy lacks
        raise InputError(f"{path} holds tensors of type {error}; convert the weights to float32") from None
    floats = {name: value for name, value in sorted(tensors.items()) if np.issubdtype(value.dtype, np.floating)}
    return {name: value.astype(np.float32, copy=False) for name, value in floats.items()}


def fold_token_weights(weights: TransformerWeights) -> TransformerWeights:
    """Return a static student without token weights; any other is returned as it is.

    Whoever pools by the plain mean must get the same vector, so the learned weight of a token is folded into its row:
    the mean of the folded rows is the weighted mean up to its length, which the normalisation takes away.
    """
    if not weights.static or TOKEN_WEIGHTS not in weights.tensors:
        return weights
    tensors = dict(weights.tensors)
    rows = tensors[TABLE] * tensors.pop(TOKEN_WEIGHTS)[:, None]
    # A power of two changes no digit, and the length of all rows together changes no vector.
    step = np.floor(np.log2(_LARGEST / max(float(np.abs(rows).max()), 1e-30)))
    return dataclasses.replace(weights, tensors=tensors | {TABLE: rows * np.float32(2.0**step)})


def _plain_name(name: str) -> str:
    for prefix in ("bert.", "roberta.", "model."):
        name = name.removeprefix(prefix)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _check(weights: TransformerWeights, path: Path) -> None:
    tensors, hidden = weights.tensors, weights.hidden
    static = not weights.layers and weights.static
    needed = (TABLE,) if static else (TABLE, POSITIONS, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")
    for name in needed:
        if name not in tensors:
            raise InputError(f"{path}: the tensor {name} is missing; the file does not hold a BERT encoder")
    inner = int(weights.config.get("intermediate_size", 4 * hidden))
    for layer in range(weights.layers):
        for part, shape in layer_shapes(hidden, inner).items():
            name = f"encoder.layer.{layer}.{part}"
            if name not in tensors:
                raise InputError(f"{path}: the tensor {name} is missing; config.json asks for {weights.layers} layers")
            if tensors[name].shape != shape:
                raise InputError(
                    f"{path}: {name} has the shape {tensors[name].shape}, config.json asks for {shape}; "
                    "take both files from the same model"
                )
    width = tensors[TABLE_FACTOR].shape[1] if TABLE_FACTOR in tensors else hidden
    if tensors[TABLE].shape != (weights.config["vocab_size"], width):
        raise InputError(
            f"{path}: {TABLE} has the shape {tensors[TABLE].shape}, config.json asks for "
            f"({weights.config['vocab_size']}, {width}); take both files from the same model"
        )
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise InputError(f"{path}: the tensor {name} holds values that are not finite; train or download it again")


def layer_shapes(hidden: int, inner: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of one layer's tensors (names below `encoder.layer.<i>.`)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("query", "key", "value"):
        shapes[f"attention.self.{part}.weight"] = (hidden, hidden)
        shapes[f"attention.self.{part}.bias"] = (hidden,)
    for part, out, width in (
        ("attention.output.dense", hidden, hidden),
        ("intermediate.dense", inner, hidden),
        ("output.dense", hidden, inner),
    ):
        shapes[f"{part}.weight"] = (out, width)
        shapes[f"{part}.bias"] = (out,)
    for part in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"{part}.weight"] = (hidden,)
        shapes[f"{part}.bias"] = (hidden,)
    return shapes
