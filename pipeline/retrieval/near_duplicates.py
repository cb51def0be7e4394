"""Find texts that nearly repeat one another: the Jaccard similarity of their shingle sets, exactly.

The search uses the prefix filter of set-similarity joins (Chaudhuri et al. 2006; Bayardo et al. 2007): a set of n
shingles whose Jaccard similarity with another is at least t shares at least s = ceil(t * n) of them. So of the
n - s + k rarest of one and the rarest of the other, taken in the same way, at least k are common to both. Rare shingles
are in few sets, so few sets are compared with each other. Nothing is sampled: the answer is the same in every run and
on every machine.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")
_SHARED_RARE = 4  # the k of the prefix filter: more makes candidates fewer and lists longer
_RUN = 3  # words of a passage's shingle


def normalise(text: str) -> str:
    """Return the lower-case words and numbers of `text`, one space apart."""
    return " ".join(_WORD.findall(text.lower()))


def character_shingles(text: str, size: int = 4) -> frozenset[str]:
    """Return the runs of `size` characters of the normalised text; made for short texts such as queries."""
    padded = f" {normalise(text)} "
    return frozenset([padded[start : start + size] for start in range(max(1, len(padded) - size + 1))])


class _PrefixIndex:
    """Sets of numbers, each sorted, the rarest numbers smallest, that find those which are near another such set."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._sets: dict[int, array[int]] = {}
        self._sizes: dict[int, int] = {}
        self._needed: dict[int, int] = {}
        self._postings: dict[int, list[int]] = {}

    def add(self, name: int, numbers: "array[int]", rarer: int) -> None:
        """Keep a set under `name`; it has `rarer` members more that are in no other set."""
        prefix, needed = self._prefix(numbers, rarer)
        self._sets[name], self._sizes[name], self._needed[name] = numbers, len(numbers) + rarer, needed
        for number in prefix:
            self._postings.setdefault(number, []).append(name)

    def near(self, numbers: "array[int]", rarer: int) -> list[int]:
        """Return the names of the sets that are near `numbers`, which has `rarer` members more."""
        prefix, needed = self._prefix(numbers, rarer)
        hits: Counter[int] = Counter()
        for number in prefix:
            names = self._postings.get(number)
            if names:
                hits.update(names)
        if not hits:
            return []
        members, size = set(numbers), len(numbers) + rarer
        return sorted(
            name
            for name, count in hits.items()
            if count >= min(needed, self._needed[name]) and self._are_near(members, size, name)
        )

    def _prefix(self, numbers: "array[int]", rarer: int) -> tuple["array[int]", int]:
        size = len(numbers) + rarer
        # The small margin keeps rounding of `threshold * n` from losing a pair that lies on the threshold.
        shared = math.ceil(self._threshold * size - 1e-9)
        needed = min(_SHARED_RARE, shared)
        return numbers[: max(size - shared + needed - rarer, 0)], needed

    def _are_near(self, members: set[int], size: int, name: int) -> bool:
        other = self._sizes[name]
        if min(size, other) < self._threshold * max(size, other) - 1e-9:
            return False
        shared = len(members.intersection(self._sets[name]))
        return shared >= self._threshold * (size + other - shared) - 1e-9


class ShingleIndex:
    """Shingle sets that can be asked which of them are at least `threshold` similar to another set."""

    def __init__(self, sets: Iterable[frozenset[str]], threshold: float) -> None:
        """Index `sets`; their positions are their names. `threshold` is a Jaccard similarity in (0, 1]."""
        numbers: dict[str, int] = {}
        numbered = [array("i", [numbers.setdefault(member, len(numbers)) for member in members]) for members in sets]
        frequency = Counter(number for members in numbered for number in members)
        rare_first = sorted(numbers, key=lambda shingle: (frequency[numbers[shingle]], shingle))
        self._rank = {shingle: rank for rank, shingle in enumerate(rare_first)}
        ranks = dict(zip((numbers[shingle] for shingle in rare_first), range(len(numbers)), strict=True))
        self._index = _PrefixIndex(threshold)
        for position, members in enumerate(numbered):
            self._index.add(position, array("i", sorted(map(ranks.__getitem__, members))), 0)

    def matches(self, members: frozenset[str]) -> list[int]:
        """Return the positions of the indexed sets that are near `members`, in ascending order."""
        known = array("i", sorted(self._rank[shingle] for shingle in members if shingle in self._rank))
        return self._index.near(known, len(members) - len(known))


def first_of_each(texts: Sequence[str], threshold: float) -> list[int]:
    """Return the positions that stay when every text near an earlier one that stays is dropped.

    Near are texts whose runs of three words have a Jaccard similarity of `threshold` or more.
    """
    sizes, starts, ranks = _shared_shingles(texts)
    index = _PrefixIndex(threshold)
    kept = []
    for position, size in enumerate(sizes.tolist()):
        numbers = array("q", ranks[starts[position] : starts[position + 1]].tobytes())
        rarer = size - len(numbers)
        if not index.near(numbers, rarer):
            index.add(position, numbers, rarer)
            kept.append(position)
    return kept


def _shared_shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of runs of three words of each text, and those that several texts have.

    The latter, int64, are numbered by how many texts have them, the rarest first, and lie one text behind the other;
    `starts` says where each begins. A run is named by the numbers of its words, in 64 bits: exactly, up to two million
    different words.
    """
    numbers: dict[str, int] = {}
    flat, ends = array("i"), [0]
    for text in texts:
        words = _WORD.findall(text.lower())
        flat.extend([numbers.setdefault(word, len(numbers) + 1) for word in words])
        flat.extend([0] * max(_RUN - len(words), 0))  # a text of fewer words is one run
        ends.append(len(flat))
    words, bounds = np.frombuffer(flat, np.int32).astype(np.uint64), np.array(ends)
    count = np.uint64(len(numbers) + 1)
    runs = (words[:-2] * count + words[1:-1]) * count + words[2:]
    lengths = np.diff(bounds) - (_RUN - 1)
    rows = np.repeat(np.arange(len(texts)), lengths)
    inside = np.arange(len(rows)) + np.repeat((_RUN - 1) * np.arange(len(texts)), lengths)
    different, runs = np.unique(runs[inside], return_inverse=True)
    pairs = np.unique(rows * len(different) + runs)
    rows, runs = np.divmod(pairs, max(len(different), 1))
    frequency = np.bincount(runs, minlength=len(different))
    rank = np.empty(len(different), np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(different))
    shared = frequency[runs] > 1
    sizes = np.bincount(rows, minlength=len(texts))
    rows, ranks = rows[shared], rank[runs[shared]]
    starts = np.searchsorted(rows, np.arange(len(texts) + 1))
    return sizes, starts, ranks[np.lexsort((ranks, rows))]
