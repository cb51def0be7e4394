"""Test queries, and texts that repeat one and so are not trained on."""

from typing import Any

from ..retrieval.near_duplicates import ShingleIndex, character_shingles, normalise

SAME_QUERY = 0.6  # Jaccard similarity of runs of four characters


class HeldOut:
    """An index of the held-out queries that finds texts which repeat one of them.

    A text repeats a query when the two are near-duplicates (Jaccard similarity of their runs of four characters) or
    when it contains the query word for word.
    """

    def __init__(self, queries: Any) -> None:
        """Index `queries`, an iterable of texts."""
        texts = list(queries)
        self._index = ShingleIndex((character_shingles(text) for text in texts), SAME_QUERY)
        # First three words -> number of words -> whole normalised queries; a query of fewer words starts with all.
        self._by_start: dict[str, dict[int, set[str]]] = {}
        for text in texts:
            words = normalise(text).split()
            if words:
                self._by_start.setdefault(" ".join(words[:3]), {}).setdefault(len(words), set()).add(" ".join(words))
        self._count = len(texts)

    def __len__(self) -> int:
        """Return the number of held-out queries."""
        return self._count

    def repeats(self, text: str) -> bool:
        """Return whether `text` repeats a held-out query."""
        words = normalise(text).split()
        # One or two words are in too many texts to be given away by containing them: they must be the whole text.
        for start in range(max(len(words) - 2, 1)):
            for size, queries in self._by_start.get(" ".join(words[start : start + 3]), {}).items():
                if " ".join(words[start : start + size]) in queries:
                    return True
        return bool(self._index.matches(character_shingles(text)))
