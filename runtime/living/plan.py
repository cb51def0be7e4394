"""What a change does to an index: which documents stay, which come from the corpus, and in what order.

Documents are compared by their digests (`runtime/search/digests.py`), so nothing is encoded to find out. One that
changed its id or its place, not its content, keeps its vectors.
"""

from dataclasses import dataclass

import numpy as np

from ..search.digests import CONTENT, ID, WHOLE, find


@dataclass(frozen=True)
class Plan:
    """The documents of the index after the change, in order."""

    live: np.ndarray  # int64 [m]: the position of an old document that stays, or -1 - the number of one of the corpus
    content: np.ndarray  # int64 [corpus]: the position of an old document with the same content, or -1
    old: int  # documents before

    @property
    def kept(self) -> np.ndarray:
        """The positions of the old documents that stay, ascending."""
        return np.sort(self.live[self.live >= 0])

    @property
    def gone(self) -> np.ndarray:
        """The positions of the old documents that do not stay, ascending."""
        return np.setdiff1d(np.arange(self.old), self.kept)

    @property
    def written(self) -> np.ndarray:
        """The numbers of the documents of the corpus that are written, ascending."""
        return np.sort(-1 - self.live[self.live < 0])

    @property
    def changes_nothing(self) -> bool:
        """Whether the index stays as it is."""
        return len(self.live) == self.old and bool((self.live == np.arange(self.old)).all())


def plan_sync(old: np.ndarray, corpus: np.ndarray) -> Plan:
    """Plan to make an index of the documents with the digests `old` [n, 3] one of the `corpus` [m, 3]."""
    same = find(corpus[:, WHOLE], old[:, WHOLE])
    stays = same >= 0
    stays[stays] = _first_of_equal(same[stays])
    return Plan(np.where(stays, same, -1 - np.arange(len(corpus))), find(corpus[:, CONTENT], old[:, CONTENT]), len(old))


def plan_add(old: np.ndarray, corpus: np.ndarray) -> Plan:
    """Plan to add the documents of the `corpus`: one takes the place of the old one with its id, others come last."""
    place = find(corpus[:, ID], old[:, ID])
    changed = np.flatnonzero((place >= 0) & (find(corpus[:, WHOLE], old[:, WHOLE]) < 0))
    live = np.arange(len(old))
    live[place[changed]] = -1 - changed
    added = -1 - np.flatnonzero(place < 0)
    return Plan(np.concatenate([live, added]), find(corpus[:, CONTENT], old[:, CONTENT]), len(old))


def plan_remove(old: np.ndarray, ids: np.ndarray) -> Plan:
    """Plan to remove the documents with the digests `ids` [m] of their ids."""
    return Plan(np.flatnonzero(find(old[:, ID], ids) < 0), np.empty(0, dtype=np.int64), len(old))


def _first_of_equal(numbers: np.ndarray) -> np.ndarray:
    """Return which of `numbers` [n] are not there before: bool [n]."""
    first = np.zeros(len(numbers), dtype=bool)
    first[np.unique(numbers, return_index=True)[1]] = True
    return first
