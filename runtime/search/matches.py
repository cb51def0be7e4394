"""Which words of a passage are those of the query, and what part of the passage shows most of them."""

import unicodedata
from collections.abc import Sequence

from .words import word_places, words

# Words of questions in English, and of sentences in any: these are in every text, and say nothing.
_EVERYWHERE = (
    "a about after all also am an and any are as at be been before being but by can could did do does doing for from "
    "get had has have how i if in into is it its just me more most my no nor not of off on one or our out over should "
    "so some such than that the their them then there these they this those through to too under up us very was way we "
    "were what when where which while who whom why will with would you your"
)
_COMMON = frozenset(_EVERYWHERE.split())
_STEM, _ENDING = 4, 3  # letters that two forms of a word share at least, and by which they differ at most


def matched_places(text: str, query: str) -> list[tuple[int, int]]:
    """Return begin and end of each word of `text` that is one of the `query`, or another form of one."""
    wanted = {word for word in words(query) if word not in _COMMON} or set(words(query))
    places: list[tuple[int, int]] = []
    for start, end in word_places(text):
        word = unicodedata.normalize("NFKC", text[start:end]).lower()
        if any(word == other or _same_stem(word, other) for other in wanted):
            if places and places[-1][1] >= start:  # pairs of characters overlap
                places[-1] = (places[-1][0], end)
            else:
                places.append((start, end))
    return places


def excerpt(text: str, places: Sequence[tuple[int, int]], width: int) -> tuple[int, int]:
    """Return begin and end of the `width` characters of `text`, about, that hold most of `places`, from a word's start.

    Different words count before the same one again.
    """
    if len(text) <= width:
        return 0, len(text)

    def worth(start: int) -> tuple[int, int]:
        inside = [text[first:last].lower() for first, last in places if start <= first and last <= start + width]
        return len(set(inside)), len(inside)

    starts = [0, *(max(0, first - width // 4) for first, _ in places)]
    start = max(starts, key=lambda place: (*worth(place), -place))
    start = next((place for place in range(start, 0, -1) if text[place - 1].isspace()), 0)
    end = min(len(text), start + width)
    cut = next((place for place in range(end, start, -1) if text[place - 1 : place].isspace()), end)
    return start, len(text) if end == len(text) else cut


def _same_stem(word: str, other: str) -> bool:
    shorter, longer = sorted((len(word), len(other)))
    if longer - shorter > _ENDING or shorter < _STEM or not (word.isalpha() and other.isalpha()):
        return False
    stem = max(_STEM, shorter - 1)  # renew, renews, renewing; query, queries
    return word[:stem] == other[:stem]
