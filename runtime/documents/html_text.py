"""The text of an HTML page: its title, and its blocks in order; no markup, scripts or styles.

`html.parser` is not used: its time grows with the square of the length for pages of tags or comments that never end.
Here each step goes forward, and time grows with the length, whatever the page holds.
"""

import html
import re
from contextlib import suppress

_TAG = re.compile(r"""(/?)([a-zA-Z][^\s/>]*+)((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_TAG_START = re.compile("</?[a-zA-Z]")
_TAG_WITHOUT_QUOTES = re.compile(r"(/?)([a-zA-Z][^\s/>]*+)([^>]*+)>")
_UNSEEN_END = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_INSIDE_A_LINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "del", "em", "font", "i", "ins", "kbd"),
        *("label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    )
)


def html_prose(page: str) -> tuple[str, str]:
    """Return the title of `page` and its text, headings as in Markdown."""
    reader = _Reader()
    position = 0
    while (start := page.find("<", position)) >= 0:
        reader.words.append(page[position:start])
        position = reader.skip(page, start)
        if position <= start:  # what never ends hides the rest, as in a browser
            break
    else:
        reader.words.append(page[position:])
    reader.end_block()
    return reader.title, "\n\n".join(reader.blocks)


class _Reader:
    """Collects words to lines, and lines to blocks."""

    def __init__(self) -> None:
        self.title = ""
        self.blocks: list[str] = []
        self.words: list[str] = []
        self._tag_form = _TAG

    def skip(self, page: str, start: int) -> int:
        """Read the markup that begins at `start` with `<`; return where it ends, 0 when it never does."""
        if page.startswith("<!--", start):
            end = page.find("-->", start + 4)
            return end + 3 if end >= 0 else 0
        if page.startswith(("<!", "<?"), start):
            return page.find(">", start) + 1
        if not _TAG_START.match(page, start):
            self.words.append("<")
            return start + 1
        tag = self._tag_form.match(page, start + 1)
        if tag is None:  # a quote that never ends: from here on, the next > ends a tag
            self._tag_form = _TAG_WITHOUT_QUOTES
            tag = self._tag_form.match(page, start + 1)
        if tag is None:
            return 0
        name = tag[2].lower()
        self.tag(name, closed=bool(tag[1]))
        if tag[1] or name not in _UNSEEN_END:
            return tag.end()
        end = _UNSEEN_END[name].search(page, tag.end())
        return end.start() if end else 0

    def tag(self, name: str, closed: bool) -> None:
        if name == "title" and closed:
            self.title, self.words = self.title or self._line(), []
        elif name not in _INSIDE_A_LINE:
            self.end_block("# " if closed and name in _HEADINGS else "")

    def end_block(self, mark: str = "") -> None:
        line, self.words = self._line(), []
        if line:
            self.blocks.append(f"{mark}{line}")

    def _line(self) -> str:
        text = "".join(self.words)
        with suppress(ValueError):  # a character by a number of thousands of digits
            text = html.unescape(text)
        return " ".join(text.split())
