"""Cut documents into passages by a bundle's own tokens: by structure first, long blocks in windows that overlap.

A passage stands in one section. Small blocks (paragraphs, items of a list, code) are joined to `target` tokens; a block
of more has a passage of its own; one that is longer than a passage may be is cut at sentences, or words where none
ends, into windows of even length. The headings above a passage are put in front of it, as far as they fit into a
quarter of its tokens, so that a text says what it is about. All that a document holds is in some passage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..documents.document import Document
from ..text.tokenizer_file import TextTokenizer
from .encode import PassageText
from .sentences import sentences, stripped
from .structure import Section, Span, sections
from .token_places import TokenPlaces, word_end

HEADING_WEIGHT = 0.4
CONTEXT_SHARE = 4  # headings take at most one part in so many of a passage
CERTAIN = 0.8  # of a passage's tokens; what was counted below that fits, however the tokens of its parts join


@dataclass(frozen=True)
class Cutting:
    """How documents are cut, in tokens; part of `index.json`."""

    tokens: int  # a passage has at most, with headings, prompt, [CLS] and [SEP]
    target: int  # small blocks are joined up to so many
    overlap: int  # at most so many of a window of a long block are also in the window before
    heading_weight: float = HEADING_WEIGHT  # of the headings' own vector in that of a passage, see `encode.py`

    def __post_init__(self) -> None:
        """Refuse what no document can be cut by."""
        if not 0 <= self.heading_weight < 1:
            raise ValueError("heading_weight must be from 0 to below 1")
        if self.tokens < 3 or self.target < 1 or self.overlap < 0:
            raise ValueError("a passage needs at least 3 tokens, a target of at least 1 and an overlap of at least 0")


class Cut(NamedTuple):
    """A document in passages."""

    passages: list["Passage"]  # in order, at least one
    tokens: int  # of title and text
    tokens_read: int  # of these, in a passage or in the headings before one


class Passage(NamedTuple):
    """A part of a document."""

    text: str
    start: int  # characters of the document's text
    end: int
    headings: tuple[str, ...]  # above it, below the document's title
    context: str  # as much of title and headings as is put in front of the text

    @property
    def full_text(self) -> str:
        """Headings and text, as they are encoded behind the bundle's prompt."""
        return f"{self.context} {self.text}".strip()

    def to_encode(self, document: Document) -> PassageText:
        """Return what is encoded of this passage of `document`: of a text with headings, those by themselves too."""
        return PassageText(self.full_text, self.context if document.marked else "")


def default_cutting(max_length: int) -> Cutting:
    """Return how documents are cut for a model that reads `max_length` tokens."""
    return Cutting(max_length, max(1, max_length // 2), max_length // 8)


class PassageCutter:
    """Cuts documents for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer, prompt: str = "", cutting: Cutting | None = None) -> None:
        """Cut by the tokens of `tokenizer`; an encoder will put `prompt` in front of each passage."""
        self.cutting = cutting or default_cutting(tokenizer.max_length)
        self._tokenizer, self._prompt = tokenizer, prompt
        own = tokenizer.lengths([prompt])[0] + tokenizer.added_tokens
        self._room = max(1, min(self.cutting.tokens, tokenizer.max_length) - own)

    def cut(self, document: Document) -> Cut:
        """Return the passages of `document`."""
        title, text, before = document.title, document.text, 0
        if self._length(title) > self._room // CONTEXT_SHARE:  # no heading, but text that must be read
            title, text = "", f"{title}\n\n{document.text}"
            before = len(document.title) + 2
        tokens = TokenPlaces(text, self._tokenizer)
        passages: list[Passage] = []
        read: set[Span] = set()
        for section in _with_text(list(sections(text, marked=document.marked))):
            context, left_out = self._context(title, section)
            section.blocks[:0] = [place for place in left_out if place not in {*read, *section.blocks}]
            room = max(1, self._room - self._length(context))
            spans = list(self._fitting(tokens, context, self._spans(tokens, section.blocks, room), room))
            read.update(section.places, spans)
            for start, end in (stripped(text, span) for span in spans):
                own = (max(0, start - before), max(0, end - before))
                passages.append(Passage(text[start:end], *own, section.headings, context))
        in_title = self._length(title)
        return Cut(
            passages or [Passage("", 0, 0, (), title)], in_title + tokens.count, in_title + tokens.in_any_of(read)
        )

    def _length(self, text: str) -> int:
        return TokenPlaces(text, self._tokenizer).between(Span(0, len(text)))

    def _context(self, title: str, section: Section) -> tuple[str, list[Span]]:
        """Return the title with as many headings as fit, the nearest ones, and where those stand that do not."""
        for first in range(len(section.headings) + 1):
            context = " ".join(part for part in (title, *section.headings[first:]) if part)
            if self._length(context) <= self._room // CONTEXT_SHARE:
                return context, list(section.places[:first])
        return title, list(section.places)

    def _spans(self, tokens: TokenPlaces, blocks: Sequence[Span], room: int) -> Iterator[Span]:
        """Yield the spans of passages of at most `room` tokens that `blocks` are joined or cut to."""
        target = min(self.cutting.target, room)
        joined: list[Span] = []
        size = 0
        for block in blocks:
            own = tokens.between(block)
            if joined and size + own > target:
                yield _around(joined)
                joined, size = [], 0
            if own > room:
                yield from self._windows(tokens, block, room)
            else:
                joined.append(block)
                size += own
        if joined:
            yield _around(joined)

    def _windows(self, tokens: TokenPlaces, block: Span, room: int) -> Iterator[Span]:
        """Yield windows of even length, at most `room` tokens; each begins with the last sentences of the last."""
        overlap = min(self.cutting.overlap, room // 4)
        units = list(_sentences(tokens, block, max(1, room // 4)))
        lengths = [tokens.between(unit) for unit in units]
        count = max(1, -(-(sum(lengths) - overlap) // (room - overlap)))
        even = -(-(sum(lengths) + (count - 1) * overlap) // count)
        begin = 0
        while True:
            end, size = begin + 1, lengths[begin]
            while end < len(units) and size + lengths[end] <= room and size + lengths[end] // 2 <= even:
                size += lengths[end]
                end += 1
            yield _around(units[begin:end])
            if end == len(units):
                return
            least, begin, repeated = begin + 1, end, 0
            while begin > least and repeated + lengths[begin - 1] <= overlap:
                begin -= 1
                repeated += lengths[begin]

    def _fitting(self, tokens: TokenPlaces, context: str, spans: Iterator[Span], room: int) -> Iterator[Span]:
        """Yield `spans`, in halves where tokens that were counted apart are more together."""
        most = self._room + self._tokenizer.lengths([self._prompt])[0]
        for span in spans:
            waiting = [span]
            while waiting:
                part = waiting.pop()
                near = tokens.between(part) > CERTAIN * room
                text = tokens.text[part.start : part.end]
                if near and len(text) > 1 and self._tokenizer.lengths([f"{self._prompt}{context} {text}"])[0] > most:
                    middle = word_end(tokens.text, part.start + 1, part.start + len(text) // 2)
                    waiting += [Span(middle, part.end), Span(part.start, middle)]
                else:
                    yield part


def whole_passage(document: Document, tokenizer: TextTokenizer, prompt: str, shown: int) -> Cut:
    """Return `document` as one passage, of whose text `shown` characters are kept; an encoder reads its beginning."""
    snippet = " ".join(document.text[: 2 * shown].split())[:shown]
    passage = Passage(snippet, 0, len(document.text), (), document.title)
    tokens = TokenPlaces(document.full_text, tokenizer).count
    room = tokenizer.max_length - tokenizer.added_tokens - tokenizer.lengths([prompt])[0]
    return Cut([passage], tokens, min(tokens, room))


def _sentences(tokens: TokenPlaces, block: Span, most: int) -> Iterator[Span]:
    """Yield the sentences of `block`, those of more than `most` tokens in parts that end with a word."""
    for sentence in sentences(tokens.text, block):
        at = sentence.start
        while at < sentence.end:
            stop = min(tokens.end_of(at, most), sentence.end)
            if stop < sentence.end:
                stop = word_end(tokens.text, at + (stop - at) // 2, stop)
            yield Span(at, stop)
            at = stop


def _with_text(found: list[Section]) -> Iterator[Section]:
    """Yield the sections to cut: a heading alone is one, unless the next section stands below it."""
    for section, following in zip(found, [*found[1:], None], strict=True):
        below = following is not None and following.places[: len(section.places)] == section.places
        if not section.blocks and section.places and not below:
            section.blocks.append(section.places[-1])
        if section.blocks:
            yield section


def _around(spans: Sequence[Span]) -> Span:
    return Span(spans[0].start, spans[-1].end)
