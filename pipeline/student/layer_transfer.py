"""What a trained encoder hands down to a student with another vocabulary and another shape: vectors and layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.graph.weights import POSITIONS, TABLE, TOKEN_TYPES
from ..queries.tokenized_texts import TokenizedTexts
from ..vocabulary.token_mapping import piece_texts, spell_all
from .model import StudentShape
from .width_reduction import reduce_width

if TYPE_CHECKING:
    import torch

_TEXTS = 256  # training texts that a narrower student is fitted on


@dataclass(frozen=True)
class TrainedEncoder:
    """A BERT encoder by the names of `BertModel`, with a full table and without projection."""

    shape: StudentShape  # its dimension does not count
    tensors: "dict[str, torch.Tensor]"


def compose_embeddings(table: np.ndarray, tokenizer: Any, pieces: Sequence[str]) -> np.ndarray:
    """Return a vector for every piece of a new vocabulary, float32 [pieces, width], from the rows of an old one.

    `tokenizer` is the old one's (the `tokenizers` object, without padding and truncation). A piece that it has too
    keeps its row, byte for byte, at the beginning of a word or inside one, whatever way either vocabulary marks that.
    Any other gets the mean of the old pieces that spell it (Gee et al., arXiv 2402.09977), weighted by the squares of
    their numbers of characters, because short pieces say least: before any training, vectors of such a student lie
    nearer to those of the old one than with the plain mean. A piece that nothing spells gets the mean of all rows.
    """
    vocabulary = tokenizer.get_vocab()
    lengths = np.ones(len(table), np.float32)
    for identifier, text in zip(vocabulary.values(), piece_texts(list(vocabulary)), strict=True):
        lengths[identifier] = max(len(text), 1)
    middle = table.mean(0)
    rows = []
    for ids in spell_all(tokenizer, pieces):
        if len(ids) == 1:
            rows.append(table[ids[0]])
        elif ids:
            shares = lengths[ids] ** 2
            rows.append((shares / shares.sum()) @ table[ids])
        else:
            rows.append(middle)
    return np.stack(rows).astype(np.float32)


def can_transfer(source: StudentShape, shape: StudentShape) -> bool:
    """Tell whether layers of `source` can be brought into `shape`, which must not be wider in any way."""
    fits = (shape.hidden <= source.hidden, shape.heads <= source.heads, shape.intermediate <= source.intermediate)
    return all(fits) and min(shape.layers, source.layers) > 0


def transferred_tensors(
    source: TrainedEncoder, vectors: np.ndarray, shape: StudentShape, texts: TokenizedTexts, rows: np.ndarray
) -> "dict[str, torch.Tensor]":
    """Return a student's tensors, all but the projection and the layers that `source` has not; the table is full.

    `vectors` [pieces, source hidden] is the new table. Of more layers than needed the bottom and the top ones are taken
    (QED, arXiv 2306.11550). Position rows are cut, or the last one is repeated. A narrower student is fitted on some of
    the training texts `rows`, see `narrow.py`; otherwise every value stays as it is.
    """
    import torch

    layers = min(shape.layers, source.shape.layers)
    found = _chosen(source, layers) | {TABLE: torch.from_numpy(vectors)}
    widths = (shape.hidden, shape.heads, shape.intermediate)
    if widths != (source.shape.hidden, source.shape.heads, source.shape.intermediate):
        chosen = rows[np.linspace(0, len(rows) - 1, min(_TEXTS, len(rows))).astype(np.int64)]
        ids, lengths = map(torch.from_numpy, texts.padded(chosen))
        found[POSITIONS] = _stretched(found[POSITIONS], ids.shape[1])
        found = reduce_width(found, source.shape.heads, shape, layers, ids, lengths)
    found[POSITIONS] = _stretched(found[POSITIONS], shape.positions)[: shape.positions]
    found[TOKEN_TYPES] = found[TOKEN_TYPES][:1]
    return found


def _chosen(source: TrainedEncoder, layers: int) -> "dict[str, torch.Tensor]":
    depth, bottom = source.shape.layers, (layers + 1) // 2
    found = {name: source.tensors[name] for name in (POSITIONS, TOKEN_TYPES)}
    found |= {name: value for name, value in source.tensors.items() if name.startswith("embeddings.LayerNorm.")}
    for layer in range(layers):
        place = f"encoder.layer.{layer if layer < bottom else depth - layers + layer}."
        for name, value in source.tensors.items():
            if name.startswith(place):
                found[f"encoder.layer.{layer}.{name.removeprefix(place)}"] = value
    return found


def _stretched(positions: "torch.Tensor", count: int) -> "torch.Tensor":
    """Return at least `count` position rows, the last one repeated."""
    import torch

    missing = max(count - len(positions), 0)
    return torch.cat([positions, positions[-1:].expand(missing, -1)])
