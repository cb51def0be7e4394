"""Find texts that nearly repeat one another: the Jaccard similarity of their shingle sets, exactly.

The search uses the prefix filter of set-similarity joins (Chaudhuri et al. 2006; Bayardo et al. 2007): a set of n
shingles whose Jaccard similarity with another is at least t shares at least s = ceil(t * n) of them, so that of any
n - s + k of them, the rarest say, at least k are in the other. Nothing is sampled or hashed: the answer is exact, and
the same in every run and on every machine.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+")
_SHARED_RARE = 4  # the k of the prefix filter: more makes candidates fewer and lists longer


def normalise(text: str) -> str:
    """Return the lower-case words and numbers of `text`, one space apart."""
    return " ".join(_WORD.findall(text.lower()))


def character_shingles(text: str, size: int = 4) -> frozenset[str]:
    """Return the runs of `size` characters of the normalised text; made for short texts such as queries."""
    padded = f" {normalise(text)} "
    return frozenset([padded[start : start + size] for start in range(max(1, len(padded) - size + 1))])


def word_shingles(text: str, size: int = 3) -> frozenset[str]:
    """Return the runs of `size` words of the normalised text; made for passages."""
    words = normalise(text).split()
    return frozenset([" ".join(words[start : start + size]) for start in range(max(1, len(words) - size + 1))])


class ShingleIndex:
    """Shingle sets that can be asked which of them are at least `threshold` similar to another set."""

    def __init__(self, sets: Iterable[frozenset[str]], threshold: float) -> None:
        """Index `sets`; their positions are their names. `threshold` is a Jaccard similarity in (0, 1]."""
        self._sets = list(sets)
        self._threshold = threshold
        frequency = Counter(shingle for members in self._sets for shingle in members)
        self._postings: dict[str, list[int]] = {}
        self._needed: list[int] = []
        for position, members in enumerate(self._sets):
            # The small margin keeps rounding of `threshold * n` from losing a pair that lies on the threshold.
            shared = math.ceil(threshold * len(members) - 1e-9)
            needed = min(_SHARED_RARE, shared)
            self._needed.append(needed)
            rare_first = sorted(members, key=lambda shingle: (frequency[shingle], shingle))
            for shingle in rare_first[: len(members) - shared + needed]:
                self._postings.setdefault(shingle, []).append(position)

    def matches(self, members: frozenset[str]) -> list[int]:
        """Return the positions of the indexed sets that are near `members`, in ascending order."""
        hits: Counter[int] = Counter()
        for shingle in members:
            positions = self._postings.get(shingle)
            if positions:
                hits.update(positions)
        return sorted(
            position
            for position, count in hits.items()
            if count >= self._needed[position] and self._near(members, self._sets[position])
        )

    def _near(self, left: frozenset[str], right: frozenset[str]) -> bool:
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
