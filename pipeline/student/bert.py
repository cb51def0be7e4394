"""The arithmetic of a BERT encoder (Devlin et al. 2018, arXiv 1810.04805) on named tensors, without dropout.

Tensors bear the names of `transformers.BertModel`. `hidden` is [texts, longest, hidden] throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ...export.graph.weights import POSITIONS, TOKEN_TYPES

if TYPE_CHECKING:
    import torch

    Tensors: TypeAlias = Mapping[str, torch.Tensor]

LAYER_NORM_EPSILON = 1e-12
EMBEDDING_NORM = "embeddings.LayerNorm"


@dataclass(frozen=True)
class LayerStates:
    """What one layer computes, by token: [texts, longest, …]."""

    context: "torch.Tensor"  # what the heads have gathered, before the output map
    attended_sum: "torch.Tensor"  # with the residual, before the first LayerNorm
    attended: "torch.Tensor"  # after it
    inner: "torch.Tensor"  # intermediate units, before the activation
    output_sum: "torch.Tensor"  # with the residual, before the second LayerNorm
    output: "torch.Tensor"  # after it


def embed(tensors: "Tensors", token_vectors: "torch.Tensor") -> "torch.Tensor":
    """Return token vectors plus positions and the first token type, before the LayerNorm."""
    hidden = token_vectors + tensors[POSITIONS][: token_vectors.shape[1]]
    return hidden + tensors[TOKEN_TYPES][0]


def layer(
    tensors: "Tensors",
    name: str,
    hidden: "torch.Tensor",
    heads: int,
    mask: "torch.Tensor | None",
    *,
    half: bool = False,
) -> LayerStates:
    """Run the layer `name`; `mask` is bool [texts, 1, 1, longest], `half` multiplies matrices in bfloat16.

    Attention and norms stay in float32: there bfloat16 is slower on processors, and sums lose more.
    """
    import torch
    from torch.nn import functional

    kind = torch.bfloat16 if half else hidden.dtype
    low = hidden.to(kind)
    query, key, value = (
        linear(tensors, f"{name}.attention.self.{part}", low).float() for part in ("query", "key", "value")
    )
    context = attention(query, key, value, heads, mask)
    attended_sum = hidden + linear(tensors, f"{name}.attention.output.dense", context.to(kind))
    attended = layer_norm(tensors, f"{name}.attention.output.LayerNorm", attended_sum)
    inner = linear(tensors, f"{name}.intermediate.dense", attended.to(kind))
    output_sum = attended + linear(tensors, f"{name}.output.dense", functional.gelu(inner))
    output = layer_norm(tensors, f"{name}.output.LayerNorm", output_sum)
    return LayerStates(context, attended_sum, attended, inner, output_sum, output)


def attention(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", heads: int, mask: "torch.Tensor | None"
) -> "torch.Tensor":
    """Return scaled dot-product attention of `heads` heads, [texts, longest, hidden]."""
    from torch.nn import functional

    split = [part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in (query, key, value)]
    mixed = functional.scaled_dot_product_attention(*split, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(query.shape)


def linear(tensors: "Tensors", name: str, hidden: "torch.Tensor") -> "torch.Tensor":
    """Apply a linear layer in the precision of `hidden`."""
    from torch.nn import functional

    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.linear(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype))


def layer_norm(tensors: "Tensors", name: str, hidden: "torch.Tensor") -> "torch.Tensor":
    """Apply a LayerNorm."""
    from torch.nn import functional

    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.layer_norm(hidden, hidden.shape[-1:], weight, bias, LAYER_NORM_EPSILON)
