"""What a trained encoder passes on to a student with another vocabulary and another shape: vectors and layers."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.graph.weights import POSITIONS, TABLE, TOKEN_TYPES
from ..queries.tokenized_texts import TokenizedTexts
from ..vocabulary.token_mapping import spell_all, token_texts
from .bert import EMBEDDING_NORM
from .model import StudentShape, TrainedEncoder
from .ridge import spread
from .width_reduction import reduce_width

if TYPE_CHECKING:
    import torch

_TEXTS = 256  # training texts that a narrower student is fitted on


def compose_embeddings(table: np.ndarray, tokenizer: Any, tokens: Sequence[str]) -> np.ndarray:
    """Return a vector for every token of a new vocabulary, float32 [tokens, width], from the rows of an old one.

    `tokenizer` is the old one's (the `tokenizers` object, without padding and truncation). A token that it has too
    keeps its row, byte for byte, at the beginning of a word or inside one, whatever way either vocabulary marks that.
    Any other gets the mean of the old tokens that spell it (Gee et al., arXiv 2402.09977), weighted by the squares of
    their numbers of characters, because short tokens say least: before any training, vectors of such a student lie
    nearer to those of the old one than with the plain mean. A token that nothing spells gets the mean of all rows.
    """
    vocabulary = tokenizer.get_vocab()
    lengths = np.ones(len(table), np.float32)
    for identifier, text in zip(vocabulary.values(), token_texts(list(vocabulary)), strict=True):
        lengths[identifier] = max(len(text), 1)
    middle = table.mean(0)
    rows = []
    for ids in spell_all(tokenizer, tokens):
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

    `vectors` [tokens, source hidden] is the new table. Of more layers than needed the bottom and the top ones are taken
    (QED, arXiv 2306.11550). Position rows are cut, or the last one is repeated. A narrower student is fitted on some of
    the training texts `rows`, see `width_reduction.py`; otherwise every value stays as it is.
    """
    import torch

    layers = min(shape.layers, source.shape.layers)
    tensors = _chosen(source, layers) | {TABLE: torch.from_numpy(vectors)}
    widths = (shape.hidden, shape.heads, shape.intermediate)
    if widths != (source.shape.hidden, source.shape.heads, source.shape.intermediate):
        ids, lengths = map(torch.from_numpy, texts.padded(spread(rows, _TEXTS)))
        tensors[POSITIONS] = _stretched(tensors[POSITIONS], ids.shape[1])
        wide = TrainedEncoder(dataclasses.replace(source.shape, layers=layers), tensors)
        tensors = reduce_width(wide, shape, ids, lengths)
    tensors[POSITIONS] = _stretched(tensors[POSITIONS], shape.positions)[: shape.positions]
    tensors[TOKEN_TYPES] = tensors[TOKEN_TYPES][:1]
    return tensors


def _chosen(source: TrainedEncoder, layers: int) -> "dict[str, torch.Tensor]":
    depth, bottom = source.shape.layers, (layers + 1) // 2
    tensors = {name: source.tensors[name] for name in (POSITIONS, TOKEN_TYPES)}
    tensors |= {name: value for name, value in source.tensors.items() if name.startswith(f"{EMBEDDING_NORM}.")}
    for number in range(layers):
        prefix = f"encoder.layer.{number if number < bottom else depth - layers + number}."
        for name, value in source.tensors.items():
            if name.startswith(prefix):
                tensors[f"encoder.layer.{number}.{name.removeprefix(prefix)}"] = value
    return tensors


def _stretched(positions: "torch.Tensor", count: int) -> "torch.Tensor":
    """Return at least `count` position rows, the last one repeated."""
    import torch

    missing = max(count - len(positions), 0)
    return torch.cat([positions, positions[-1:].expand(missing, -1)])
