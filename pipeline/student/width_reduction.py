"""Bring the layers of a wide encoder into a narrower one without any training.

A rotation of the hidden states alone (SliceGPT, Ashkboos et al., arXiv 2401.15024) is not exact here: a BERT adds the
residual after each LayerNorm, whose gains do not turn with the axes. So the main axes of the wide encoder's hidden
states on some texts say where the narrow one's states should lie, and then, from the bottom to the top, every linear
map is refitted by ridge regression to give the wide encoder's values from the narrow one's own states: errors of the
layers below are fixed on the way, as far as a linear map can. Of heads and of intermediate units those that move the
states most are kept.
"""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...export.graph.weights import POSITIONS, TABLE, TOKEN_TYPES
from .bert import EMBEDDING_NORM, LAYER_NORM_EPSILON, LayerStates, attention, embed, layer, layer_norm, linear
from .model import StudentShape, TrainedEncoder
from .ridge import fit_linear

if TYPE_CHECKING:
    import torch

_TEXTS = 256  # texts that the two encoders are compared on
_LENGTH = 40  # tokens of each, at most
_RIDGE = 1e-3  # relative to the mean power of the features


def reduce_width(
    wide: TrainedEncoder, shape: StudentShape, ids: "torch.Tensor", lengths: "torch.Tensor"
) -> "dict[str, torch.Tensor]":
    """Return an encoder's tensors for `shape`, all but the projection; the table is of full rank.

    `wide` has a table [tokens, wide hidden] for the new vocabulary and as many layers as wanted. `ids` [texts, longest]
    (padded with 0) of `lengths` [texts] are what the two encoders are compared on. Position rows are not cut or
    extended.
    """
    import torch

    ids, lengths = ids[:_TEXTS, :_LENGTH], lengths[:_TEXTS].clamp(max=_LENGTH)
    ids = ids[:, : int(lengths.max())]
    with torch.no_grad():
        return _WidthReduction(wide, shape, ids, lengths).run()


class _WidthReduction:
    def __init__(self, wide: TrainedEncoder, shape: StudentShape, ids: "torch.Tensor", lengths: "torch.Tensor") -> None:
        import torch

        self.wide, self.shape, self.ids = wide, shape, ids
        self.mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        self.visible = self.mask[:, None, None, :]
        self.narrow: dict[str, torch.Tensor] = {}

    def run(self) -> "dict[str, torch.Tensor]":
        axes = self._axes()
        state = self._fit_embeddings(axes)
        for name, hidden, seen in self._wide_layers():
            state = self._fit_layer(name, seen, hidden, state, axes)
        return self.narrow

    def _wide_embeddings(self) -> "torch.Tensor":
        tensors = self.wide.tensors
        return layer_norm(tensors, EMBEDDING_NORM, embed(tensors, tensors[TABLE][self.ids]))

    def _wide_layers(self) -> "Iterator[tuple[str, torch.Tensor, LayerStates]]":
        """Yield name, input and states of each layer, one after the other: all at once would not fit into memory."""
        hidden = self._wide_embeddings()
        for number in range(self.wide.shape.layers):
            name = f"encoder.layer.{number}"
            seen = layer(self.wide.tensors, name, hidden, self.wide.shape.heads, self.visible)
            yield name, hidden, seen
            hidden = seen.output

    def _axes(self) -> "torch.Tensor":
        """Return the main axes of the wide encoder's states, [wide hidden, hidden]."""
        import torch

        width = self.wide.shape.hidden
        moment = torch.zeros(width, width, dtype=torch.float64)
        layers = (part for _, _, seen in self._wide_layers() for part in (seen.attended, seen.output))
        for states in itertools.chain([self._wide_embeddings()], layers):
            rows = states[self.mask].double()
            moment += rows.T @ rows
        axes = torch.linalg.eigh(moment)[1].flip(1)[:, : self.shape.hidden]
        largest = axes.abs().argmax(0)
        return (axes * axes[largest, torch.arange(axes.shape[1])].sign()).float()

    def _fit_embeddings(self, axes: "torch.Tensor") -> "torch.Tensor":
        """Fill the embeddings; return the narrow states above them."""
        gains = self.wide.tensors[f"{EMBEDDING_NORM}.weight"]
        for name in (TABLE, POSITIONS, TOKEN_TYPES):
            rows = self.wide.tensors[name]
            self.narrow[name] = ((rows - rows.mean(1, True)) * gains) @ axes
        total = embed(self.narrow, self.narrow[TABLE][self.ids])
        return self._fit_norm(EMBEDDING_NORM, total, self._wide_embeddings() @ axes)

    def _fit_layer(
        self, name: str, seen: LayerStates, hidden: "torch.Tensor", state: "torch.Tensor", axes: "torch.Tensor"
    ) -> "torch.Tensor":
        """Fill one layer and return the narrow states above it.

        `seen` is what the wide layer computes from `hidden`, `state` the narrow states below.
        """
        from torch.nn import functional

        rows = self._kept_head_rows(name, seen.context)
        scale = math.sqrt((self.shape.hidden // self.shape.heads) / (hidden.shape[-1] // self.wide.shape.heads))
        gathered = []
        for part in ("query", "key", "value"):
            wanted = linear(self.wide.tensors, f"{name}.attention.self.{part}", hidden)[..., rows]
            if part == "query":  # dot products are divided by the root of the heads' size
                wanted = wanted * scale
            gathered.append(self._fit_linear(f"{name}.attention.self.{part}", state, wanted))
        context = attention(gathered[0], gathered[1], gathered[2], self.shape.heads, self.visible)
        wanted = seen.attended_sum @ axes - state
        total = state + self._fit_linear(f"{name}.attention.output.dense", context, wanted)
        state = self._fit_norm(f"{name}.attention.output.LayerNorm", total, seen.attended @ axes)
        units = self._kept_units(name, seen.inner)
        inner = self._fit_linear(f"{name}.intermediate.dense", state, seen.inner[..., units])
        wanted = seen.output_sum @ axes - state
        total = state + self._fit_linear(f"{name}.output.dense", functional.gelu(inner), wanted)
        return self._fit_norm(f"{name}.output.LayerNorm", total, seen.output @ axes)

    def _kept_head_rows(self, name: str, context: "torch.Tensor") -> "torch.Tensor":
        """Return the rows of query, key and value to keep, [hidden]: those of the heads that move the states most.

        Where the narrow heads are smaller than the wide ones, each keeps its best rows; where they are larger, rows
        of the next best heads fill them up.
        """
        import torch

        weight = self.wide.tensors[f"{name}.attention.output.dense.weight"]
        moved = (context[self.mask].square().mean(0) * weight.square().sum(0)).view(self.wide.shape.heads, -1)
        order = moved.sum(1).argsort(descending=True, stable=True)
        kept = order[: self.shape.heads].sort().values
        size, had = self.shape.hidden // self.shape.heads, moved.shape[1]
        if size <= had:
            inside = moved[kept].topk(size, 1).indices.sort(1).values
            return (kept[:, None] * had + inside).reshape(-1)
        others = (order[self.shape.heads :, None] * had + torch.arange(had)).reshape(-1)
        spare = others[: self.shape.heads * (size - had)].view(self.shape.heads, -1)
        return torch.cat([kept[:, None] * had + torch.arange(had), spare], 1).reshape(-1)

    def _kept_units(self, name: str, inner: "torch.Tensor") -> "torch.Tensor":
        """Return the intermediate units to keep, [intermediate]: those that move the states most."""
        from torch.nn import functional

        weight = self.wide.tensors[f"{name}.output.dense.weight"]
        moved = functional.gelu(inner[self.mask]).var(0) * weight.square().sum(0)
        return moved.topk(self.shape.intermediate).indices.sort().values

    def _fit_linear(self, name: str, features: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
        """Set a linear layer to the ridge regression and return what it gives."""
        weight, bias = fit_linear(features[self.mask], wanted[self.mask], _RIDGE)
        self.narrow[f"{name}.weight"], self.narrow[f"{name}.bias"] = weight.float(), bias.float()
        return linear(self.narrow, name, features)

    def _fit_norm(self, name: str, total: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
        """Set gains and biases of a LayerNorm by regression, channel by channel, and return what it gives."""
        from torch.nn import functional

        plain = functional.layer_norm(total, (total.shape[-1],), eps=LAYER_NORM_EPSILON)
        x, y = plain[self.mask].double(), wanted[self.mask].double()
        centre, offset = x.mean(0), y.mean(0)
        x, y = x - centre, y - offset
        gain = (x * y).mean(0) / x.square().mean(0).clamp(min=1e-12)
        self.narrow[f"{name}.weight"] = gain.float()
        self.narrow[f"{name}.bias"] = (offset - gain * centre).float()
        return layer_norm(self.narrow, name, total)
