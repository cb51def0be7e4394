"""Where the tokens of a text begin."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from ..text.tokenizer_file import TextTokenizer
from .structure import Span

MOST_CHARACTERS = 64  # a token; longer ones (words that no vocabulary knows) count as several
_PIECE, _PIECES = 4000, 64  # characters that are tokenized as one text, and such texts at a time


class TokenPlaces:
    """The tokens of `text`, read once; memory is eight bytes a token."""

    def __init__(self, text: str, tokenizer: TextTokenizer) -> None:
        """Tokenize `text` in pieces that end with a word, so that time grows with its length alone."""
        self.text = text
        self._starts = np.fromiter(_starts(text, tokenizer), dtype=np.int64)

    @property
    def count(self) -> int:
        """The number of tokens."""
        return len(self._starts)

    def in_any_of(self, spans: Iterable[Span]) -> int:
        """Return how many tokens begin in one or more of `spans`."""
        found, read_to = 0, 0
        for first, last in sorted(tuple(np.searchsorted(self._starts, span)) for span in spans):
            found += max(0, int(last) - max(int(first), read_to))
            read_to = max(read_to, int(last))
        return found

    def between(self, span: Span) -> int:
        """Return how many tokens begin in `span`."""
        first, last = np.searchsorted(self._starts, span)
        return max(int(last - first), (span.end - span.start) // MOST_CHARACTERS)

    def end_of(self, start: int, tokens: int) -> int:
        """Return where `tokens` tokens end that begin at the character `start`: at least one character on."""
        last = int(np.searchsorted(self._starts, start)) + tokens
        end = int(self._starts[last]) if last < len(self._starts) else len(self.text)
        return max(start + 1, min(end, start + tokens * MOST_CHARACTERS))


def _starts(text: str, tokenizer: TextTokenizer) -> Iterator[int]:
    spans = _pieces(text)
    while group := list(islice(spans, _PIECES)):
        found = tokenizer.token_starts([text[span.start : span.end] for span in group])
        for span, starts in zip(group, found, strict=True):
            yield from (span.start + start for start in starts)


def _pieces(text: str) -> Iterator[Span]:
    at = 0
    while at < len(text):
        stop = min(at + _PIECE, len(text))
        if stop < len(text):
            stop = word_end(text, at + _PIECE // 2, stop)
        yield Span(at, stop)
        at = stop


def word_end(text: str, first: int, last: int) -> int:
    """Return the last place between `first` and `last` behind which a word begins, else `last`."""
    for place in range(last, first, -1):
        if text[place - 1].isspace():
            return place
    return last
