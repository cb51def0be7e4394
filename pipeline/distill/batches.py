"""Which texts make up the batch of a step: a pure function of seed and step.

Training texts are tokenized once into flat arrays. A batch mixes documents and query-like texts, so that losses over
pairs see both; its texts are sorted by length and split into parts of about equal work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.errors import InputError
from ..queries.tokenized_texts import TokenizedTexts
from ..settings import DistillSettings
from ..teacher.score_lists import ABSENT, ScoreLists

_WINDOW_BATCHES = 32  # texts of this many batches are sorted by length together: little padding, still random


class _Pool:
    """An endless stream of batches of one role; epoch after epoch, each text once an epoch."""

    def __init__(self, rows: np.ndarray, lengths: np.ndarray, per_batch: int, seed: Sequence[int]) -> None:
        self._rows, self._lengths, self._per_batch, self._seed = rows, lengths, per_batch, list(seed)
        self._epochs: dict[int, list[np.ndarray]] = {}

    def batch(self, number: int) -> np.ndarray:
        """Return the rows of batch `number`."""
        if self._per_batch == 0 or not len(self._rows):
            return np.empty(0, np.int64)
        epoch, position = divmod(number, max(len(self._rows) // self._per_batch, 1))
        if epoch not in self._epochs:
            self._epochs = {epoch: self._cut(epoch)}
        return self._epochs[epoch][position]

    def _cut(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([*self._seed, epoch])
        rows = rng.permutation(self._rows)
        size, window = self._per_batch, self._per_batch * _WINDOW_BATCHES
        batches: list[np.ndarray] = []
        for first in range(0, len(rows), window):
            part = rows[first : first + window]
            part = part[np.argsort(self._lengths[part], kind="stable")]
            # What does not fill a batch waits for another epoch, whose order is another.
            whole = part[: len(part) // size * size] if len(part) >= size else part
            batches.extend(whole.reshape(-1, size) if len(whole) >= size else [whole])
        return [batches[index] for index in rng.permutation(len(batches))]


@dataclass(frozen=True)
class ListPositions:
    """Which texts of a batch make up its score lists."""

    positions: np.ndarray  # int64 [lists, 1 + documents]: query and documents by their rows in the batch; -1: absent
    scores: np.ndarray  # float32 [lists, documents]


class BatchPlan:
    """The batches of a training run."""

    def __init__(
        self,
        texts: TokenizedTexts,
        excluded: np.ndarray,
        settings: DistillSettings,
        seed: int,
        *,
        lists: ScoreLists | None = None,
        judged: np.ndarray | None = None,
        passages: int = 0,
    ) -> None:
        """Plan batches of `batch_texts` texts, none of them among the rows `excluded`.

        Each has the texts of `batch_lists` of the score lists `lists`. Of the rest, `document_share` are documents and
        `judged_share` are of the rows `judged`, which are not among the others then; with a share of 0 they come as
        often as any other text. `passage_share` are of the last `passages` texts, which are not among the documents.
        Raises `InputError` when lists and texts do not fit or no text is left.
        """
        self._texts = texts
        self._lists = lists.without(excluded) if lists is not None else None
        size = settings.batch_texts
        if self._lists is not None:
            size = texts_beside_lists(settings, self._lists.width)
            if not len(self._lists):
                raise InputError("no score list is left beside the texts that are held back; add texts to the corpus")
            lengths = np.ones(len(self._lists), np.int64)
            self._list_pool = _Pool(np.arange(len(self._lists)), lengths, settings.batch_lists, (seed, 3))
        usable = np.setdiff1d(np.arange(len(texts)), excluded)
        if not len(usable):
            raise InputError("no training texts are left; add texts to the corpus or raise queries.max_texts")
        usable, cut = np.split(usable, [np.searchsorted(usable, len(texts) - passages)])
        passage_count = min(max(round(size * settings.passage_share), 1), size) if len(cut) else 0
        self._passages = _Pool(cut, texts.lengths, passage_count, (seed, 5))
        room = size - passage_count
        documents = usable[texts.is_document[usable]]
        others = usable[~texts.is_document[usable]]
        share = settings.document_share if len(documents) and len(others) else float(len(documents) > 0)
        document_count = min(max(round(size * share), int(share > 0)), room)
        self._documents = _Pool(documents, texts.lengths, document_count, (seed, 1))
        judged = np.empty(0, np.int64) if judged is None or not settings.judged_share else judged
        judged = np.intersect1d(others, judged)
        if len(judged) == len(others):  # there are no other queries that they could have a share beside
            judged = judged[:0]
        judged_count = min(max(round(size * settings.judged_share), 1), room - document_count) if len(judged) else 0
        self._judged = _Pool(judged, texts.lengths, judged_count, (seed, 4))
        other_count = room - document_count - judged_count
        self._others = _Pool(np.setdiff1d(others, judged), texts.lengths, other_count, (seed, 2))

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of the batch of `step`, int64 [texts], shortest first."""
        rows = self._unsorted(step)
        return rows[np.argsort(self._texts.lengths[rows], kind="stable")]

    def lists(self, step: int) -> ListPositions | None:
        """Return the score lists of the batch of `step`, whose positions count along `rows`."""
        if self._lists is None:
            return None
        chosen = self._list_pool.batch(step)
        rows = self._unsorted(step)
        sorted_position = np.empty(len(rows), np.int64)
        sorted_position[np.argsort(self._texts.lengths[rows], kind="stable")] = np.arange(len(rows))
        present = self._lists.rows[chosen] != ABSENT
        positions = np.full(present.shape, ABSENT, np.int64)
        positions[present] = sorted_position[len(rows) - int(present.sum()) :]
        return ListPositions(positions, self._lists.scores[chosen])

    def _unsorted(self, step: int) -> np.ndarray:
        pools = (self._others, self._judged, self._documents, self._passages)
        parts = [pool.batch(step) for pool in pools]
        if self._lists is not None:
            listed = self._lists.rows[self._list_pool.batch(step)]
            parts.append(listed[listed != ABSENT])
        return np.concatenate(parts).astype(np.int64)

    def parts(self, step: int, count: int) -> list[np.ndarray]:
        """Return the batch split into at most `count` runs of rows whose padded sizes are about equal."""
        rows = self.rows(step)
        return [rows[first:last] for first, last in balanced_cuts(self._texts.lengths[rows], count)]


def texts_beside_lists(settings: DistillSettings, width: int) -> int:
    """Return how many texts of a batch are not of its score lists, which have `width` texts each."""
    others = settings.batch_texts - settings.batch_lists * width
    if others < 1:
        raise InputError(
            f"distill.batch_lists = {settings.batch_lists} lists of {width} texts each do not fit into "
            f"distill.batch_texts = {settings.batch_texts} beside other texts; change these or cross_encoder.candidates"
        )
    return others


def balanced_cuts(lengths: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Cut rows (sorted by length) into at most `count` runs; the largest padded size is as small as possible."""
    texts = len(lengths)
    count = max(1, min(count, texts))
    low, high = int(lengths[-1]), int(lengths[-1]) * texts
    while low < high:  # the smallest budget of padded tokens that `count` runs suffice for
        middle = (low + high) // 2
        if len(_greedy(lengths, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    return _greedy(lengths, low)


def _greedy(lengths: np.ndarray, budget: int) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    last = len(lengths)
    while last > 0:  # from the longest down: a run costs its number of texts times its longest
        size = max(1, min(last, budget // int(lengths[last - 1])))
        cuts.append((last - size, last))
        last -= size
    return cuts[::-1]
