"""Bring the layers of a wide encoder into a narrower one without any training.

A rotation of the hidden states alone (SliceGPT, Ashkboos et al., arXiv 2401.15024) is not exact here: a BERT adds the
residual after each LayerNorm, whose gains do not turn with the axes. So the main axes of the wide encoder's hidden
states on some texts say where the narrow one's states should lie, and then, from the bottom to the top, every linear
map is refitted by ridge regression to give the wide encoder's values from the narrow one's own states: errors of the
layers below are fixed on the way, as far as a linear map can. Of heads and of intermediate units those that move the
states most are kept.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .model import LAYER_NORM_EPSILON, StudentShape

if TYPE_CHECKING:
    import torch

_TEXTS = 256  # looked at
_LENGTH = 40  # tokens of each, at most
_RIDGE = 1e-3  # relative to the mean power of the features
_EMBEDDINGS = "embeddings"


def reduce_width(
    wide: "dict[str, torch.Tensor]",
    heads: int,
    shape: StudentShape,
    layers: int,
    ids: "torch.Tensor",
    lengths: "torch.Tensor",
) -> "dict[str, torch.Tensor]":
    """Return an encoder's tensors for `shape`, all but the projection; the table is of full rank.

    `wide` has `BertModel` names, a table [pieces, wide hidden] for the new vocabulary and as many `layers` as wanted;
    `heads` is how many heads those have. `ids` [texts, longest] (padded with 0) of `lengths` [texts] are what the two
    encoders are compared on. Position rows are not cut or extended.
    """
    import torch

    ids, lengths = ids[:_TEXTS, :_LENGTH], lengths[:_TEXTS].clamp(max=_LENGTH)
    ids = ids[:, : int(lengths.max())]
    with torch.no_grad():
        return _WidthReduction(wide, heads, shape, layers, ids, lengths).run()


@dataclass
class _Layer:
    """What happens in one layer, by token: [texts, longest, …]."""

    context: Any  # what the heads have gathered, before the output map
    attended: Any  # after the first LayerNorm
    attended_sum: Any  # before it
    inner: Any  # intermediate units, before the activation
    out: Any  # after the second LayerNorm
    out_sum: Any


class _WidthReduction:
    def __init__(
        self,
        wide: "dict[str, torch.Tensor]",
        heads: int,
        shape: StudentShape,
        layers: int,
        ids: "torch.Tensor",
        lengths: "torch.Tensor",
    ) -> None:
        import torch

        self.wide, self.heads, self.shape, self.layers = wide, heads, shape, layers
        self.ids = ids
        self.mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        self.narrow: dict[str, torch.Tensor] = {}

    def run(self) -> "dict[str, torch.Tensor]":
        axes = self._axes()
        hidden, state = self._embed(axes)
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            seen = self._wide_layer(name, hidden)
            state = self._fit_layer(name, seen, hidden, state, axes)
            hidden = seen.out
        return self.narrow

    def _axes(self) -> "torch.Tensor":
        """Return the main axes of the wide encoder's states, [wide hidden, hidden]."""
        import torch

        hidden = self._wide_embeddings()
        states = [hidden]
        for layer in range(self.layers):
            seen = self._wide_layer(f"encoder.layer.{layer}", hidden)
            hidden = seen.out
            states += [seen.attended, seen.out]
        moment = torch.zeros(hidden.shape[-1], hidden.shape[-1], dtype=torch.float64)
        for part in states:
            rows = part[self.mask].double()
            moment += rows.T @ rows
        axes = torch.linalg.eigh(moment)[1].flip(1)[:, : self.shape.hidden]
        places = axes.abs().argmax(0)
        return (axes * axes[places, torch.arange(axes.shape[1])].sign()).float()

    def _wide_sum(self) -> "torch.Tensor":
        longest = self.ids.shape[1]
        hidden = self.wide[f"{_EMBEDDINGS}.word_embeddings.weight"][self.ids]
        hidden = hidden + self.wide[f"{_EMBEDDINGS}.position_embeddings.weight"][:longest]
        return hidden + self.wide[f"{_EMBEDDINGS}.token_type_embeddings.weight"][0]

    def _wide_embeddings(self) -> "torch.Tensor":
        return _norm(self.wide, f"{_EMBEDDINGS}.LayerNorm", self._wide_sum())

    def _wide_layer(self, name: str, hidden: "torch.Tensor") -> _Layer:
        from torch.nn import functional

        query, key, value = (
            _linear(self.wide, f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value")
        )
        context = self._attend(query, key, value, self.heads)
        attended_sum = hidden + _linear(self.wide, f"{name}.attention.output.dense", context)
        attended = _norm(self.wide, f"{name}.attention.output.LayerNorm", attended_sum)
        inner = _linear(self.wide, f"{name}.intermediate.dense", attended)
        out_sum = attended + _linear(self.wide, f"{name}.output.dense", functional.gelu(inner))
        out = _norm(self.wide, f"{name}.output.LayerNorm", out_sum)
        return _Layer(context, attended, attended_sum, inner, out, out_sum)

    def _attend(self, query: Any, key: Any, value: Any, heads: int) -> "torch.Tensor":
        from torch.nn import functional

        texts, longest, width = query.shape
        split = [part.view(texts, longest, heads, -1).transpose(1, 2) for part in (query, key, value)]
        mixed = functional.scaled_dot_product_attention(*split, attn_mask=self.mask[:, None, None, :])
        return mixed.transpose(1, 2).reshape(texts, longest, width)

    def _embed(self, axes: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Fill the embeddings; return the wide and the narrow states above them."""
        hidden = self._wide_embeddings()
        gains = self.wide[f"{_EMBEDDINGS}.LayerNorm.weight"]
        for part in ("word", "position", "token_type"):
            rows = self.wide[f"{_EMBEDDINGS}.{part}_embeddings.weight"]
            self.narrow[f"{_EMBEDDINGS}.{part}_embeddings.weight"] = ((rows - rows.mean(1, True)) * gains) @ axes
        longest = self.ids.shape[1]
        total = self.narrow[f"{_EMBEDDINGS}.word_embeddings.weight"][self.ids]
        total = total + self.narrow[f"{_EMBEDDINGS}.position_embeddings.weight"][:longest]
        total = total + self.narrow[f"{_EMBEDDINGS}.token_type_embeddings.weight"][0]
        return hidden, self._fit_norm(f"{_EMBEDDINGS}.LayerNorm", total, hidden @ axes)

    def _fit_layer(
        self, name: str, seen: _Layer, hidden: "torch.Tensor", state: "torch.Tensor", axes: "torch.Tensor"
    ) -> "torch.Tensor":
        """Fill one layer and return the narrow states above it."""
        from torch.nn import functional

        rows = self._kept_head_rows(name, seen.context)
        scale = math.sqrt((self.shape.hidden // self.shape.heads) / (hidden.shape[-1] // self.heads))
        gathered = []
        for part in ("query", "key", "value"):
            wanted = _linear(self.wide, f"{name}.attention.self.{part}", hidden)[..., rows]
            if part == "query":  # dot products are divided by the root of the heads' size
                wanted = wanted * scale
            gathered.append(self._fit_linear(f"{name}.attention.self.{part}", state, wanted))
        context = self._attend(gathered[0], gathered[1], gathered[2], self.shape.heads)
        wanted = seen.attended_sum @ axes - state
        total = state + self._fit_linear(f"{name}.attention.output.dense", context, wanted)
        state = self._fit_norm(f"{name}.attention.output.LayerNorm", total, seen.attended @ axes)
        units = self._kept_units(name, seen.inner)
        inner = self._fit_linear(f"{name}.intermediate.dense", state, seen.inner[..., units])
        wanted = seen.out_sum @ axes - state
        total = state + self._fit_linear(f"{name}.output.dense", functional.gelu(inner), wanted)
        return self._fit_norm(f"{name}.output.LayerNorm", total, seen.out @ axes)

    def _kept_head_rows(self, name: str, context: "torch.Tensor") -> "torch.Tensor":
        """Return the rows of query, key and value to keep, [hidden]: those of the heads that move the states most.

        Where the narrow heads are smaller than the wide ones, each keeps its best rows; where they are larger, rows
        of the next best heads fill them up.
        """
        import torch

        weight = self.wide[f"{name}.attention.output.dense.weight"]
        moved = (context[self.mask].square().mean(0) * weight.square().sum(0)).view(self.heads, -1)
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
        from torch.nn import functional

        weight = self.wide[f"{name}.output.dense.weight"]
        moved = functional.gelu(inner[self.mask]).var(0) * weight.square().sum(0)
        return moved.topk(self.shape.intermediate).indices.sort().values

    def _fit_linear(self, name: str, features: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
        """Set a linear layer to the ridge regression and return what it gives."""
        import torch

        x, y = features[self.mask].double(), wanted[self.mask].double()
        centre, offset = x.mean(0), y.mean(0)
        x, y = x - centre, y - offset
        moment = x.T @ x
        moment += torch.eye(len(moment), dtype=torch.float64) * (_RIDGE * moment.diagonal().mean())
        solution = torch.linalg.solve(moment, x.T @ y).T
        self.narrow[f"{name}.weight"] = solution.float()
        self.narrow[f"{name}.bias"] = (offset - solution @ centre).float()
        return _linear(self.narrow, name, features)

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
        return _norm(self.narrow, name, total)


def _linear(tensors: "dict[str, torch.Tensor]", name: str, hidden: "torch.Tensor") -> "torch.Tensor":
    from torch.nn import functional

    return functional.linear(hidden, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(tensors: "dict[str, torch.Tensor]", name: str, hidden: "torch.Tensor") -> "torch.Tensor":
    from torch.nn import functional

    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.layer_norm(hidden, (hidden.shape[-1],), weight, bias, LAYER_NORM_EPSILON)
