"""What ranking loses when an index keeps document vectors in fewer bits: the scores that such an index computes."""

import numpy as np

from ...runtime.hybrid import best_rows
from ...runtime.index import RESCORED_MIN, pack_signs, quantize_rows

# Below every dot product of unit vectors, so that documents whose bits did not qualify come last, by their bits.
_BELOW = -1000.0


def stored_scores(queries: np.ndarray, documents: np.ndarray) -> dict[str, np.ndarray]:
    """Return score matrices [queries, documents] of unit vectors [., d] by how the documents are kept.

    `int8`: one byte a dimension. `binary`: the best 500 by signs, ranked again by int8, as an index of binary vectors
    does for ten results. `binary_unrescored`: by the number of equal signs alone.
    """
    codes, scales = quantize_rows(documents)
    exact = (queries @ codes.astype(np.float32).T) * scales
    bits, asked = pack_signs(documents), pack_signs(queries)
    equal = np.empty(exact.shape, dtype=np.float32)
    rescored = np.empty(exact.shape, dtype=np.float32)
    for row, query in enumerate(asked):
        equal[row] = -np.bitwise_count(bits ^ query).sum(axis=1, dtype=np.int32)
        rescored[row] = equal[row] + _BELOW
        chosen = best_rows(equal[row], RESCORED_MIN)
        rescored[row, chosen] = exact[row, chosen]
    return {"int8": exact, "binary": rescored, "binary_unrescored": equal}
