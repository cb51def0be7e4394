"""Find texts that nearly repeat one another: the Jaccard similarity of their shingle sets, exactly.

The search uses the prefix filter of set-similarity joins (Chaudhuri et al. 2006; Bayardo et al. 2007): when two sets
have a Jaccard similarity of at least t, they share at least t * n members of the one that has n, so that one of any
n - ceil(t * n) + 1 members of it, the rarest say, is in the other. Nothing is sampled or hashed: the answer is exact and
the same in every run and on every machine.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+")


def normalise(text: str) -> str:
    """Return the lower-case words and numbers of `text`, one space apart."""
    return " ".join(_WORD.findall(text.lower()))


def character_shingles(text: str, size: int = 4) -> frozenset[str]:
    """Return the runs of `size` characters of the normalised text; made for short texts such as queries."""
    padded = f" {normalise(text)} "
    return frozenset(padded[start : start + size] for start in range(max(1, len(padded) - size + 1)))


def word_shingles(text: str, size: int = 3) -> frozenset[str]:
    """Return the runs of `size` words of the normalised text; made for passages."""
    words = normalise(text).split()
    return frozenset(" ".join(words[start : start + size]) for start in range(max(1, len(words) - size + 1)))


class ShingleIndex:
    """Shingle sets that can be asked which of them are at least `threshold` similar to another set."""

    def __init__(self, sets: Iterable[frozenset[str]], threshold: float) -> None:
        """Index `sets`; their positions are their names. `threshold` is a Jaccard similarity in (0, 1]."""
        self._sets = list(sets)
        self._threshold = threshold
        self._frequency = Counter(shingle for members in self._sets for shingle in members)
        self._postings: dict[str, list[int]] = {}
        for position, members in enumerate(self._sets):
            for shingle in self._prefix(members):
                self._postings.setdefault(shingle, []).append(position)

    def matches(self, members: frozenset[str]) -> list[int]:
        """Return the positions of the indexed sets that are near `members`, in ascending order."""
        postings = self._postings
        candidates = {position for shingle in members if shingle in postings for position in postings[shingle]}
        return sorted(position for position in candidates if self._near(members, self._sets[position]))

    def _prefix(self, members: frozenset[str]) -> Sequence[str]:
        # Any fixed order of the shingles is right; rare ones first keeps the lists of candidates short.
        rare_first = sorted(members, key=lambda shingle: (self._frequency[shingle], shingle))
        # The small margin keeps rounding of `threshold * n` from losing a pair that lies on the threshold.
        return rare_first[: len(members) - math.ceil(self._threshold * len(members) - 1e-9) + 1]

    def _near(self, left: frozenset[str], right: frozenset[str]) -> bool:
        if min(len(left), len(right)) < self._threshold * max(len(left), len(right)) - 1e-9:
            return False
        shared = len(left & right)
        return shared >= self._threshold * (len(left) + len(right) - shared) - 1e-9


def first_of_each(sets: Sequence[frozenset[str]], threshold: float) -> list[int]:
    """Return the positions that stay when every set near an earlier one that stays is dropped."""
    index = ShingleIndex(sets, threshold)
    kept: set[int] = set()
    for position, members in enumerate(sets):
        if not any(other in kept for other in index.matches(members) if other < position):
            kept.add(position)
    return sorted(kept)
