"""Cut a text into consecutive windows, each of which a model reads whole."""

import re
from collections.abc import Callable, Iterator

_FIRST_LOOK = 2000  # characters that are tokenized to find a window's end; more where a model reads all of them
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*\s+|[。！？]|\n+")  # noqa: RUF001
_LITTLE = 4  # a rest below one part in so many of what is read at first is left
_SPACE = re.compile(r"\s+")


def windows(text: str, characters_read: Callable[[str], int]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each window, in order; a text that is read whole is one window.

    `characters_read` says how many characters of a text are read. A window ends with a sentence where one ends in its
    second half, else with a word, else where reading ends. Windows stop where a model reads nothing. A text of which
    less than a quarter as much remains as is read has one window, without that.
    """
    begin = 0
    while begin < len(text):
        end = _read_until(text, begin, characters_read)
        if end == begin:
            return
        rest = len(text) - end
        if not rest or (begin == 0 and _LITTLE * rest < end):
            yield begin, end
            return
        cut = _cut(text, begin, end)
        yield begin, cut
        begin = cut


def _read_until(text: str, begin: int, characters_read: Callable[[str], int]) -> int:
    """Return where reading ends that starts at `begin`; its cost does not depend on the length of the whole text."""
    look = _FIRST_LOOK
    while True:
        part = text[begin : begin + look]
        read = characters_read(part)
        if read < len(part) or begin + len(part) == len(text):
            return begin + read
        look *= 2


def _cut(text: str, begin: int, end: int) -> int:
    middle = begin + (end - begin) // 2
    last = end + 1 if text[end].isspace() else end  # what is read may end right before the space behind a sentence
    for pattern in (_SENTENCE_END, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, middle, last)]
        if ends:
            return ends[-1]
    return end
