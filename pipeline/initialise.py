"""The student's first weights.

`teacher`: a vector for every piece of the new vocabulary is composed from the teacher's own token vectors (fast
vocabulary transfer, Gee et al., arXiv 2402.09977) and reduced to the student's width by PCA. `random`: as BERT does.
Either way the projection starts as the best linear map from the student's pooled outputs to the teacher's vectors,
fitted by least squares on some training texts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.errors import InputError
from .batches import TokenisedTexts
from .reduction import fit_reduction
from .spelling import spell_all
from .student import TABLE, Student

if TYPE_CHECKING:
    import torch

    from .teacher_model import LoadedTeacher

_FIT_TEXTS = 2048
_RIDGE = 1e-3  # relative to the mean power of the pooled outputs
_TABLE_SPREAD = 0.05  # root mean square of the composed vectors' components, near what BERT's tables have


def random_weights(tensors: "dict[str, torch.Tensor]", seed: int) -> None:
    """Fill the tensors as BERT does: matrices from N(0, 0.02²), norms one, biases zero, the [PAD] row zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name.endswith("LayerNorm.weight"):
                tensor.fill_(1.0)
            elif tensor.dim() == 1:
                tensor.zero_()
            else:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.02)
        tensors[TABLE][0].zero_()


def read_pieces(tokenizer_file: Path) -> list[str]:
    """Return the pieces of a vocabulary in the order of their ids."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(tokenizer_file)).get_vocab()
    pieces = [""] * (max(vocabulary.values()) + 1)
    for piece, identifier in vocabulary.items():
        pieces[identifier] = piece
    return pieces


def composed_token_vectors(teacher: "LoadedTeacher", pieces: Sequence[str]) -> np.ndarray:
    """Return a teacher vector for every new piece, float32 [pieces, teacher hidden].

    A piece that the teacher has too keeps its vector; any other gets the mean of the teacher pieces that spell it,
    at the beginning of a word or inside one, whatever way either vocabulary marks that.
    """
    table = teacher.token_table()
    backend = getattr(teacher.model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f'{teacher.files.name} has no fast tokenizer; set student.initialise = "random"')
    backend.no_padding()
    backend.no_truncation()
    middle = table.mean(0)
    return np.stack([table[ids].mean(0) if ids else middle for ids in spell_all(backend, pieces)]).astype(np.float32)


def reduce_width(vectors: np.ndarray, hidden: int) -> np.ndarray:
    """Return the vectors reduced (or padded with zeros) to `hidden` components of the usual spread."""
    centred = vectors - vectors.mean(0)
    axes = fit_reduction([centred], min(hidden, vectors.shape[1])).matrix
    reduced = np.zeros((len(vectors), hidden), np.float32)
    reduced[:, : axes.shape[1]] = centred @ axes
    return reduced * (_TABLE_SPREAD / float(np.sqrt(np.mean(reduced**2))))


def teacher_weights(
    tensors: "dict[str, torch.Tensor]", teacher: "LoadedTeacher", pieces: Sequence[str], seed: int
) -> None:
    """Fill the tensors from the teacher where shapes allow, and as `random_weights` elsewhere.

    A student as wide as its BERT teacher takes over token vectors, positions and layers as they are, half of the
    layers from the teacher's bottom and half from its top (QED, arXiv 2306.11550). A narrower one takes the token
    vectors, reduced.
    """
    import torch

    random_weights(tensors, seed)
    table = tensors[TABLE]
    vectors = composed_token_vectors(teacher, pieces)
    inherited = inherited_tensors(tensors, teacher)
    if not inherited:
        vectors = reduce_width(vectors, table.shape[1])
    with torch.no_grad():
        table.copy_(torch.from_numpy(vectors))
        table[0].zero_()
        for name, tensor in inherited.items():
            tensors[name].copy_(tensor)


def inherited_tensors(tensors: "dict[str, torch.Tensor]", teacher: "LoadedTeacher") -> "dict[str, torch.Tensor]":
    """Return the teacher's tensors, besides its table, that fit the student's shapes; none unless all layers fit."""
    theirs = teacher.bert_tensors()
    ours = 1 + max((int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layer.")), default=-1)
    depth = 1 + max((int(name.split(".")[2]) for name in theirs if name.startswith("encoder.layer.")), default=-1)
    if not ours or ours > depth:
        return {}
    bottom = (ours + 1) // 2
    layer_of = {layer: layer if layer < bottom else depth - ours + layer for layer in range(ours)}
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name == TABLE or name.startswith("projection."):
            continue
        source = name
        if name.startswith("encoder.layer."):
            layer, _, rest = name.removeprefix("encoder.layer.").partition(".")
            source = f"encoder.layer.{layer_of[int(layer)]}.{rest}"
        given = theirs.get(source)
        if given is not None and name.startswith("embeddings.") and tensor.dim() == 2:
            given = given[: len(tensor)]  # as many positions as the student has, and the one token type
        if given is None or given.shape != tensor.shape:
            return {}
        found[name] = given
    return found


def fit_projection(student: Student, texts: TokenisedTexts, targets: np.ndarray, rows: np.ndarray) -> None:
    """Set the projection to the ridge regression from pooled outputs to the teacher's vectors of `rows`."""
    import torch

    chosen = rows[np.linspace(0, len(rows) - 1, min(_FIT_TEXTS, len(rows))).astype(np.int64)]
    chosen = chosen[np.argsort(texts.lengths[chosen], kind="stable")]
    pooled = []
    with torch.no_grad():
        for first in range(0, len(chosen), 64):
            ids, lengths = texts.padded(chosen[first : first + 64])
            pooled.append(student.pooled(torch.from_numpy(ids), torch.from_numpy(lengths)).double())
        features = torch.cat(pooled)
        wanted = torch.from_numpy(targets[chosen]).double()
        centre, offset = features.mean(0), wanted.mean(0)
        features, wanted = features - centre, wanted - offset
        moment = features.T @ features
        moment += torch.eye(len(moment), dtype=torch.float64) * (_RIDGE * moment.diagonal().mean())
        solution = torch.linalg.solve(moment, features.T @ wanted).T
        student.tensors["projection.weight"].copy_(solution)
        student.tensors["projection.bias"].copy_(offset - solution @ centre)
