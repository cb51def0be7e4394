"""The student: a small BERT encoder or a static table, written for training on a processor with little overhead.

All parameters lie in one flat vector (and their gradients in another), so that several processes can share them, one
call updates them all, and a checkpoint is three vectors. Names and arithmetic are those of `transformers.BertModel`
without dropout: the saved folder opens there, and `projection` is one more linear layer on each token. A table of low
rank (NanoBERT) has its second factor in `embeddings.word_factor.weight`.

A static student is the weighted mean of one vector a token. `[CLS]` gets next to no weight and `[SEP]` none
(`static_initialization.py`), and the weights of the first and last token of a text are not trained: so the vector is
that of the words alone, and the empty text has one too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ...export.graph.weights import (
    POSITIONS,
    PROJECTION,
    PROJECTION_BIAS,
    TABLE,
    TABLE_FACTOR,
    TOKEN_TYPES,
    TOKEN_WEIGHTS,
    layer_shapes,
)
from ...runtime.errors import InputError
from ...runtime.files import write_bytes, write_json
from ..settings import StudentSettings
from .bert import EMBEDDING_NORM, LAYER_NORM_EPSILON, embed, layer, layer_norm

if TYPE_CHECKING:
    import torch

_ALIGN = 16  # floats; every parameter starts on a cache line, in every process


@dataclass(frozen=True)
class StudentShape:
    """Everything that decides the sizes of a student's tensors."""

    vocabulary: int
    layers: int
    hidden: int
    heads: int
    intermediate: int
    positions: int
    dimension: int  # of the vectors that it makes
    rank: int = 0  # of the token table; 0: one matrix of full width
    static: bool = False  # no layers: `hidden` is the width of the table, layers and heads do not count

    def config(self) -> dict[str, Any]:
        """Return the keys of a transformers `BertConfig`."""
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": 0 if self.static else self.layers,
            "num_attention_heads": 1 if self.static else self.heads,
            "intermediate_size": self.intermediate,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "max_position_embeddings": self.positions,
            "type_vocab_size": 1,
            "initializer_range": 0.02,
            "layer_norm_eps": LAYER_NORM_EPSILON,
            "pad_token_id": 0,
            "torch_dtype": "float32",
        }

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor by name, matrices first (they alone are decayed)."""
        h = self.hidden
        sizes: dict[str, tuple[int, ...]] = {TABLE: (self.vocabulary, self.rank or h)}
        if self.static:
            projection = {PROJECTION: (self.dimension, h)} if h < self.dimension else {}
            return sizes | projection | {TOKEN_WEIGHTS: (self.vocabulary,)}
        if self.rank:
            sizes[TABLE_FACTOR] = (h, self.rank)
        sizes |= {POSITIONS: (self.positions, h), TOKEN_TYPES: (1, h)}
        rest: dict[str, tuple[int, ...]] = {f"{EMBEDDING_NORM}.weight": (h,), f"{EMBEDDING_NORM}.bias": (h,)}
        for number in range(self.layers):
            parts = layer_shapes(h, self.intermediate).items()
            rest |= {f"encoder.layer.{number}.{name}": size for name, size in parts}
        rest |= {PROJECTION: (self.dimension, h), PROJECTION_BIAS: (self.dimension,)}
        kinds = {name: (len(size) == 1, "LayerNorm" in name) for name, size in rest.items()}
        # Matrices, then biases, then norms; a sort keeps the order inside of each.
        return sizes | {name: rest[name] for name in sorted(rest, key=lambda name: kinds[name])}

    @classmethod
    def of_config(cls, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Self:
        """Return the shape of a student, or a BERT, from its configuration (keys of `BertConfig`) and its tensors."""
        hidden, static, projection = config["hidden_size"], POSITIONS not in tensors, tensors.get(PROJECTION)
        return cls(
            config["vocab_size"],
            config["num_hidden_layers"],
            hidden,
            config["num_attention_heads"],
            config.get("intermediate_size", 4 * hidden),
            config["max_position_embeddings"] if static else len(tensors[POSITIONS]),
            hidden if projection is None else len(projection),
            tensors[TABLE].shape[1] if TABLE_FACTOR in tensors else 0,
            static,
        )


def shape_of(settings: StudentSettings, vocabulary: int, dimension: int) -> StudentShape:
    """Return the shape that the recipe asks for; raise `InputError` when its numbers do not fit together."""
    static = settings.kind == "static"
    if not static and settings.hidden % settings.heads:
        raise InputError(
            f"student.hidden = {settings.hidden} cannot be split among student.heads = {settings.heads}; "
            f"choose a multiple"
        )
    if static and settings.table_rank:
        raise InputError("student.table_rank is for transformers; the table of a static student is student.hidden wide")
    if static and settings.hidden > dimension:
        raise InputError(
            f"student.hidden = {settings.hidden} is wider than the vectors of a static student, teacher.dimension = "
            f"{dimension}, and would add nothing; choose at most that"
        )
    if settings.table_rank >= settings.hidden:
        raise InputError(
            f"student.table_rank = {settings.table_rank} must be below student.hidden = {settings.hidden}, "
            "or 0 for a full table; fix the recipe"
        )
    return StudentShape(
        vocabulary,
        settings.layers,
        settings.hidden,
        settings.heads,
        settings.intermediate,
        settings.max_length,
        dimension,
        settings.table_rank,
        static,
    )


@dataclass(frozen=True)
class TrainedEncoder:
    """A BERT encoder by the names of `BertModel`, with a full table and without projection."""

    shape: StudentShape  # its vocabulary and dimension do not count
    tensors: "dict[str, torch.Tensor]"


class FlatParameters:
    """Named float32 views into one flat vector."""

    def __init__(self, shape: StudentShape) -> None:
        self.shape = shape
        self.offsets: dict[str, tuple[int, tuple[int, ...]]] = {}
        end = 0
        for name, size in shape.sizes().items():
            if len(size) == 1 and not hasattr(self, "decayed"):
                self.decayed = end  # floats before this are matrices
            self.offsets[name] = (end, size)
            end += math.ceil(math.prod(size) / _ALIGN) * _ALIGN
        self.length = end

    def views(self, flat: "torch.Tensor") -> "dict[str, torch.Tensor]":
        """Return the named tensors inside `flat` [length]."""
        return {name: flat[start : start + math.prod(size)].view(size) for name, (start, size) in self.offsets.items()}


class Student:
    """Forward passes over parameters that lie in `flat`; gradients are added into `gradient`.

    Both are float32 [FlatParameters.length]. They may be shared with other processes.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        flat: "torch.Tensor",
        gradient: "torch.Tensor | None" = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        """Use the weights in `flat`; with `precision` = "bf16" the layers multiply matrices in bfloat16."""
        self._half, self.device = precision == "bf16", flat.device
        self.shape = parameters.shape
        self.tensors = parameters.views(flat)
        self._table_gradient: torch.Tensor | None = None
        self._rows: list[tuple[torch.Tensor, torch.Tensor]] = []
        if gradient is not None:
            gradients = parameters.views(gradient)
            self._table_gradient = gradients[TABLE]
            for name, tensor in self.tensors.items():
                if name != TABLE:  # its gradient has few rows that are not zero: see `add_table_gradient`
                    tensor.requires_grad_()
                    tensor.grad = gradients[name]

    def encode(self, ids: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
        """Return unit vectors [texts, dimension] of token ids [texts, longest] (int64, padded with 0)."""
        from torch.nn import functional

        pooled = self.pooled(ids, lengths)
        # The projection is linear and the weights of the mean sum to one, so pooling first gives the same result.
        # (Those of a static student do not; its projection has no bias.)
        if PROJECTION in self.tensors:
            pooled = functional.linear(pooled, self.tensors[PROJECTION], self.tensors.get(PROJECTION_BIAS))
        return functional.normalize(pooled, dim=1)

    def pooled(self, ids: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
        """Return the mean of each text's last hidden states, [texts, hidden]."""
        import torch
        from torch.nn import functional

        tensors, shape = self.tensors, self.shape
        texts, longest = ids.shape
        mask = torch.arange(longest, device=ids.device)[None, :] < lengths[:, None]
        rows = tensors[TABLE][ids.reshape(-1)]
        if self._table_gradient is not None and torch.is_grad_enabled():
            rows.requires_grad_()
            self._rows.append((ids.reshape(-1), rows))
        if shape.static:
            return torch.bmm(self._token_weights(ids, lengths)[:, None, :], rows.view(texts, longest, -1))[:, 0]
        if shape.rank:
            rows = functional.linear(rows, tensors[TABLE_FACTOR])
        hidden = layer_norm(tensors, EMBEDDING_NORM, embed(tensors, rows.view(texts, longest, shape.hidden)))
        # An accelerator is not asked whether all tokens are there: waiting for the answer would take longer.
        visible = None if ids.device.type == "cpu" and bool(mask.all()) else mask[:, None, None, :]
        for number in range(shape.layers):
            hidden = layer(tensors, f"encoder.layer.{number}", hidden, shape.heads, visible, half=self._half).output
        weights = mask.to(hidden.dtype) / lengths[:, None]
        return torch.bmm(weights[:, None, :], hidden)[:, 0]

    def _token_weights(self, ids: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
        """Return each token's share in the mean, [texts, longest]; first and last tokens carry no gradient."""
        import torch

        positions = torch.arange(ids.shape[1], device=ids.device)[None, :]
        weights = self.tensors[TOKEN_WEIGHTS][ids]
        words = (positions > 0) & (positions < lengths[:, None] - 1)
        weights = torch.where(words, weights, weights.detach())
        return weights * (positions < lengths[:, None]) / lengths[:, None]

    def add_table_gradient(self) -> None:
        """After a backward pass, add the gradients of the token vectors that the batch used to the flat gradient."""
        for ids, rows in self._rows:
            if self._table_gradient is not None and rows.grad is not None:
                self._table_gradient.index_add_(0, ids, rows.grad)
        self._rows.clear()


def save_student(folder: Path, shape: StudentShape, tensors: "dict[str, torch.Tensor]") -> None:
    """Write `config.json` and `model.safetensors`; the same values always give the same bytes."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", shape.config())
    arrays = {name: np.ascontiguousarray(tensors[name].detach().numpy()) for name in sorted(tensors)}
    write_bytes(folder / "model.safetensors", save(arrays, {"format": "pt"}))


def load_student(folder: Path) -> Student:
    """Read a folder that `save_student` wrote, for inference; raise `InputError` when a tensor does not fit."""
    import torch
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "model.safetensors")
    try:
        parameters = FlatParameters(StudentShape.of_config(config, tensors))
        flat = torch.zeros(parameters.length)
        for name, view in parameters.views(flat).items():
            view.copy_(tensors[name])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{folder} is not a student of ours ({error}); run the distill stage again") from None
    return Student(parameters, flat)
