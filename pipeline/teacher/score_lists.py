"""Score lists: a query, some documents, and what a cross-encoder gives each pair.

Texts are named by their rows in `training.jsonl`. Lists are of one length; a row of -1 stands for no document.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.errors import InputError
from ...runtime.search.arrays import write_array

LISTS_NAME, SCORES_NAME = "lists.npy", "scores.npy"
ABSENT = -1


@dataclass(frozen=True)
class ScoreLists:
    """Lists and their scores."""

    rows: np.ndarray  # int32 [lists, 1 + documents]: the query, then the documents
    scores: np.ndarray  # float32 [lists, documents]; 0 where a document is absent

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Texts of a list, the query among them."""
        return self.rows.shape[1]

    def without(self, excluded: np.ndarray) -> "ScoreLists":
        """Return the lists without some rows: without their lists as queries, absent as documents.

        A list that keeps fewer than two documents compares nothing and is left out, unless all lists are pairs.
        """
        rows = self.rows.copy()
        rows[:, 1:][np.isin(rows[:, 1:], excluded)] = ABSENT
        kept = ~np.isin(rows[:, 0], excluded) & ((rows[:, 1:] != ABSENT).sum(1) >= min(2, self.width - 1))
        return ScoreLists(rows[kept], self.scores[kept])


def write_lists(folder: Path, lists: ScoreLists) -> None:
    """Write `lists.npy` and `scores.npy`."""
    write_array(folder / LISTS_NAME, lists.rows)
    write_array(folder / SCORES_NAME, lists.scores)


def read_lists(folder: Path, texts: int) -> ScoreLists | None:
    """Return the lists in `folder`, or `None` when there are none; raise `InputError` for rows beyond `texts`."""
    if not (folder / LISTS_NAME).is_file():
        return None
    rows = np.load(folder / LISTS_NAME, allow_pickle=False)
    scores = np.load(folder / SCORES_NAME, allow_pickle=False)
    if rows.ndim != 2 or scores.shape != (len(rows), rows.shape[1] - 1) or rows.max(initial=-1) >= texts:
        raise InputError(f"{folder / LISTS_NAME} does not belong to the training texts; run stage cross_encoder again")
    return ScoreLists(rows, scores)
