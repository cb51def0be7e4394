"""Choices that depend on what is chosen alone: which documents stay, and which queries are held out."""

from collections.abc import Callable, Mapping

from ...runtime.files import sha256_bytes
from ..retrieval.near_duplicates import ShingleIndex, character_shingles
from ..settings import CorpusSettings

SAME_QUERY = 0.6  # Jaccard similarity of runs of four characters


def hash_order(identifier: str) -> str:
    """Return a sort key as good as random; a changed corpus changes few of the choices made by it."""
    return sha256_bytes(identifier.encode("utf-8"))


def hold_out(
    answers: Mapping[str, dict[str, int]],
    queries: Mapping[str, str],
    settings: CorpusSettings,
    usable: Callable[[str], bool] = lambda text: True,
) -> dict[str, dict[str, dict[str, int]]]:
    """Return the judgements `answers` in the splits `train` and `test`.

    Held out are `settings.test_fraction` of the queries, `max_test_queries` at most, whose text is `usable` and that no
    other query nearly repeats.
    """
    wanted = min(settings.max_test_queries, round(settings.test_fraction * len(queries)))
    index = ShingleIndex((character_shingles(text) for text in queries.values()), SAME_QUERY)
    test: set[str] = set()
    for query in sorted(queries, key=hash_order):
        if len(test) == wanted:
            break
        if len(index.matches(character_shingles(queries[query]))) == 1 and usable(queries[query]):
            test.add(query)
    return {
        "train": {query: answers[query] for query in queries if query not in test},
        "test": {query: answers[query] for query in queries if query in test},
    }
