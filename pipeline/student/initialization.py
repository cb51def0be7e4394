"""The student's first weights.

`general`: from a student that was pretrained on plain English (`pretrained.py`). `teacher`: token vectors and layers
come from the teacher. `random`: as BERT does. Whichever it is, the projection starts as the best linear map from the
student's pooled outputs to the teacher's vectors, fitted by least squares on some training texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.graph.weights import POSITIONS, PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS
from ..queries.tokenized_texts import TokenizedTexts
from ..teacher.vectors.pca import fit_reduction
from .layer_transfer import can_transfer, compose_embeddings, transferred_tensors
from .model import Student, StudentShape, TrainedEncoder
from .ridge import fit_linear, spread

if TYPE_CHECKING:
    import torch

    from ..teacher.bi_encoder import BiEncoder

_FIT_TEXTS = 2048
_RIDGE = 1e-3  # relative to the mean power of the pooled outputs
_TABLE_SPREAD = 0.05  # root mean square of the composed vectors' components, near what BERT's tables have


def random_weights(tensors: "dict[str, torch.Tensor]", seed: int) -> None:
    """Fill the tensors as BERT does: matrices from N(0, 0.02²), norms one, biases zero, the [PAD] row zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name.endswith("LayerNorm.weight") or name == TOKEN_WEIGHTS:
                tensor.fill_(1.0)
            elif tensor.dim() == 1:
                tensor.zero_()
            else:
                # The product of a table's two factors is to spread like a table.
                spread = tensor.shape[1] ** -0.5 if name == TABLE_FACTOR else 0.02
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * spread)
        tensors[TABLE][0].zero_()


@dataclass(frozen=True)
class Source:
    """A trained model that a student's first weights come from."""

    table: np.ndarray  # token vectors, float32 [tokens, hidden]
    tokenizer: Any  # the `tokenizers` object, without padding and truncation
    encoder: TrainedEncoder | None  # its layers, where it is a BERT as the student is one


def project_embeddings(vectors: np.ndarray, hidden: int) -> np.ndarray:
    """Return the vectors reduced (or padded with zeros) to `hidden` components of the usual spread."""
    centred = vectors - vectors.mean(0)
    axes = fit_reduction([centred], min(hidden, vectors.shape[1])).matrix
    reduced = np.zeros((len(vectors), hidden), np.float32)
    reduced[:, : axes.shape[1]] = centred @ axes
    return reduced * (_TABLE_SPREAD / float(np.sqrt(np.mean(reduced**2))))


def transfer_weights(
    student: Student, source: Source, *, tokens: Sequence[str], seed: int, texts: TokenizedTexts, rows: np.ndarray
) -> None:
    """Fill all of a student but the projection from a trained model.

    It takes over token vectors, positions and layers (`layer_transfer.py`), fitted on some of the training texts `rows`
    when it is narrower. Layers beyond those of the model start at random above them. A student that is wider in any
    way, or whose source is no BERT, takes the token vectors alone, reduced.
    """
    random_weights(student.tensors, seed)
    vectors = compose_embeddings(source.table, source.tokenizer, tokens)
    if source.encoder is not None and can_transfer(source.encoder.shape, student.shape):
        fill_tensors(student.tensors, transferred_tensors(source.encoder, vectors, student.shape, texts, rows))
    else:
        fill_tensors(student.tensors, {TABLE: project_embeddings(vectors, student.shape.hidden)})


def teacher_source(teacher: "BiEncoder") -> Source | None:
    """Return the teacher as what first weights come from; its layers only when it is a BERT as the student is one.

    Nothing for a teacher without one table of tokens and their tokenizer.
    """
    table, tensors, backend = teacher.token_table(), teacher.bert_tensors(), teacher.tokenizer
    if table is None or backend is None:
        return None
    transformer: Any = teacher.model[0]
    if POSITIONS not in tensors or transformer.auto_model.config.hidden_act != "gelu":
        return Source(table, backend, None)
    shape = StudentShape.of_config(transformer.auto_model.config.to_dict(), tensors)
    fits = tensors[TABLE].shape[1] == shape.hidden
    return Source(table, backend, TrainedEncoder(shape, tensors) if fits else None)


def fill_tensors(tensors: "dict[str, torch.Tensor]", values: "Mapping[str, torch.Tensor | np.ndarray]") -> None:
    """Set some of a student's tensors; the table is given in full width."""
    import torch

    with torch.no_grad():
        for name, value in values.items():
            if name == TABLE:
                fill_table(tensors, np.asarray(value))
            else:
                tensors[name].copy_(torch.as_tensor(value))


def fill_table(tensors: "dict[str, torch.Tensor]", vectors: np.ndarray) -> None:
    """Set the token table to `vectors` [tokens, hidden], the row of [PAD] to zero.

    A table of low rank gets the nearest product of two factors (singular value decomposition, Eckart and Young 1936);
    the second factor's columns have length one.
    """
    import torch

    with torch.no_grad():
        if TABLE_FACTOR in tensors:
            axes = fit_reduction([vectors], tensors[TABLE_FACTOR].shape[1]).matrix
            tensors[TABLE_FACTOR].copy_(torch.from_numpy(np.ascontiguousarray(axes)))
            vectors = vectors @ axes
        tensors[TABLE].copy_(torch.from_numpy(vectors))
        tensors[TABLE][0].zero_()


def fit_projection(student: Student, texts: TokenizedTexts, targets: np.ndarray, rows: np.ndarray) -> None:
    """Set the projection to the ridge regression from pooled outputs to the teacher's vectors of `rows`."""
    import torch

    chosen = spread(rows, _FIT_TEXTS)
    chosen = chosen[np.argsort(texts.lengths[chosen], kind="stable")]
    pooled = []
    with torch.no_grad():
        for first in range(0, len(chosen), 64):
            ids, lengths = texts.padded(chosen[first : first + 64])
            pooled.append(student.pooled(torch.from_numpy(ids), torch.from_numpy(lengths)))
        weight, bias = fit_linear(torch.cat(pooled), torch.from_numpy(targets[chosen]), _RIDGE)
        student.tensors[PROJECTION].copy_(weight)
        student.tensors[PROJECTION_BIAS].copy_(bias)
