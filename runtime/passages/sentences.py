"""Where the sentences of a block end, in any script."""

import re
from collections.abc import Iterator

from .structure import Span

# A full stop of Latin, Greek or Cyrillic ends a sentence before a space; those of scripts without spaces always do.
# Thai and Lao have none: there a space ends a phrase. A line ends one unless the next goes on with a small letter.
_STOP = r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡．؟۔।॥།။។]+[\"'”’」』）)\]]*|[\u0e01-\u0eff](?=\s)"  # noqa: RUF001
_END = re.compile(rf"{_STOP}|\n(?![ \t]*[a-zß-öø-ÿа-яё])")
_END_OR_LINE = re.compile(rf"{_STOP}|\n")
_IN_LINES = ("|", "```", "~~~", "    ", "\t")  # tables and code


def sentences(text: str, span: Span) -> Iterator[Span]:
    """Yield the sentences of `text` in `span`, without the space around them; of tables and code, the lines."""
    start = span.start
    pattern = _END_OR_LINE if text.startswith(_IN_LINES, span.start) else _END
    for match in pattern.finditer(text, span.start, span.end):
        if (found := stripped(text, Span(start, match.end()))).end > found.start:
            yield found
        start = match.end()
    if (found := stripped(text, Span(start, span.end))).end > found.start:
        yield found


def stripped(text: str, span: Span) -> Span:
    """Return `span` without the space at both of its ends."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)
