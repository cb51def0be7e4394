"""The first weights of a static student.

The teacher encodes every token as a text of its own, as model2vec does (https://github.com/MinishLab/model2vec),
and its vector enters the student's space through the teacher's reduction. Frequent tokens get small weights, a / (a +
share) of the training tokens (smooth inverse frequency, Arora et al., ICLR 2017). The vectors are then mapped by the
linear map that brings the weighted means of some training texts nearest to the teacher's vectors. A table narrower
than the space takes its main axes, and the projection leads back.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...export.graph.weights import PROJECTION, TABLE, TOKEN_WEIGHTS
from ..queries.tokenized_texts import TokenizedTexts
from ..stage import StageContext
from ..teacher.load import load_teacher
from ..teacher.output import TeacherOutput
from ..teacher.selection import selected_teacher, surroundings
from ..teacher.vectors.pca import fit_reduction
from ..vocabulary.token_mapping import token_texts
from .ridge import ridge_map, spread

if TYPE_CHECKING:
    import torch

SMOOTHING = 1e-3  # `a` of the smooth inverse frequency
OPENING_WEIGHT = 2.0**-22  # of [CLS]: nothing beside words, and yet a vector for a text without any
_RIDGE = 1e-2  # relative to the mean power of the pooled vectors
_FIT_TEXTS = 20_000


def start_static(
    context: StageContext,
    tensors: "dict[str, torch.Tensor]",
    tokens: Sequence[str],
    texts: TokenizedTexts,
    targets: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Fill the tensors as `student.initialise` says: from the teacher, or from vectors without any meaning."""
    if context.recipe.student.initialise == "random":
        rng = np.random.default_rng([context.recipe.seed, 11])
        vectors = rng.standard_normal((len(tokens), targets.shape[1])).astype(np.float32)
    else:
        context.progress.note("  encoding every token with the teacher")
        reduction = TeacherOutput.of(context).reduction()
        alone = load_teacher(selected_teacher(context), surroundings(context)).encode(token_texts(tokens), "document")
        vectors = reduction.apply(alone).astype(np.float32)
    static_weights(tensors, vectors, texts, targets, rows)


def static_weights(
    tensors: "dict[str, torch.Tensor]",
    vectors: np.ndarray,
    texts: TokenizedTexts,
    targets: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Fill the tensors of a static student.

    `vectors` [tokens, any width] are what each token means by itself, `targets` [texts, dimension] the teacher's
    vectors, `rows` the training texts that may be looked at.
    """
    import torch

    weights = frequency_weights(texts, rows, len(vectors))
    chosen = spread(rows, _FIT_TEXTS)
    pooled = weighted_means(vectors * weights[:, None], texts, chosen)
    pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
    features, wanted = torch.from_numpy(pooled).double(), torch.from_numpy(targets[chosen]).double()
    table = vectors @ ridge_map(features, wanted, _RIDGE).numpy().astype(np.float32)
    table /= max(float(np.sqrt(np.mean(table**2))) * np.sqrt(table.shape[1]), 1e-12)  # rows of length about one
    first, last = texts.ids[texts.starts[0]], texts.ids[texts.starts[1] - 1]
    weights[[0, last]], weights[first] = 0.0, OPENING_WEIGHT
    with torch.no_grad():
        if PROJECTION in tensors:
            axes = fit_reduction([table * weights[:, None]], tensors[PROJECTION].shape[1]).matrix
            tensors[PROJECTION].copy_(torch.from_numpy(axes))
            table = table @ axes
        tensors[TABLE].copy_(torch.from_numpy(table))
        tensors[TABLE][0].zero_()
        tensors[TOKEN_WEIGHTS].copy_(torch.from_numpy(weights))


def frequency_weights(texts: TokenizedTexts, rows: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return a / (a + share of the tokens of `rows`) of every token, float32 [vocabulary]."""
    inside = np.zeros(len(texts) + 1, np.int64)
    inside[rows] = 1
    chosen = np.repeat(inside[:-1], texts.lengths).astype(bool)
    counts = np.bincount(texts.ids[chosen], minlength=vocabulary)
    return (SMOOTHING / (SMOOTHING + counts / max(counts.sum(), 1))).astype(np.float32)


def weighted_means(table: np.ndarray, texts: TokenizedTexts, rows: np.ndarray) -> np.ndarray:
    """Return the mean row of each text's tokens without the first and the last, float32 [rows, width]."""
    means = np.zeros((len(rows), table.shape[1]), np.float32)
    for position, row in enumerate(rows):
        ids = texts.ids[texts.starts[row] + 1 : texts.starts[row + 1] - 1]
        if len(ids):
            means[position] = table[ids].mean(0)
    return means
