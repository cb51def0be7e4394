"""Prose: plain text, Markdown, reStructuredText and HTML, brought to text with headings as in Markdown."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .document import Document, Place
from .html_text import html_prose
from .kinds import Kind, Source
from .packed import read_whole

_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
# Between two lines of dashes or plus signs: keys with values, and lines that go on with a value.
_FRONT_MATTER = re.compile(
    r"(?:---|\+\+\+)[ \t]*\n"
    r"((?:(?:[\w.-]+[ \t]*[:=][^\n]*|[ \t\-#\[\]}][^\n]*)?\n)+?)"
    r"(?:---|\+\+\+|\.\.\.)[ \t]*(?:\n|$)"
)
_TITLE = re.compile(r"^title\s*[:=]\s*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_RULE = re.compile(r"^[\s=\-~^*#\"'`.+:_|]{3,}$")  # lines below headings, borders of tables
LONGEST_TITLE = 200  # characters; a first line that is longer is text
_ROLE = re.compile(r":[a-zA-Z:]+:`([^`]*)`")


@dataclass(frozen=True)
class Prose:
    """The text of one file, and the title that the file says it has (may be empty)."""

    kind: Kind
    title: str
    text: str
    line: int = 0  # of the file, on which the text begins; 0 where its lines are not those of the file

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield (heading, paragraphs), a paragraph on one line; before the first heading, the title is it."""
        heading, paragraphs = self.title, [""]
        for line in self.text.splitlines():
            match = _HEADING.match(line) if self.kind != "text" else None
            if match:
                yield heading, paragraphs
                heading, paragraphs = match[1], [""]
            elif line.strip():
                paragraphs[-1] += f" {line}"
            elif paragraphs[-1]:
                paragraphs.append("")
        yield heading, paragraphs

    def document(self, identifier: str) -> Document:
        """Return all of it as one document; without a title of its own, the first line is it, unless it is long."""
        text = self.text.strip()
        first, _, rest = text.partition("\n")
        title = first.lstrip("# ").strip()
        if self.title and self.title != title:
            title, rest = self.title, text
        elif len(title) > LONGEST_TITLE:
            title, rest = "", text
        body = rest.strip()
        line = self.line + self.text[: self.text.rindex(body)].count("\n") if self.line else 0
        place = Place(identifier, line, follows=bool(line))
        return Document(identifier, title, body, self.kind != "text", place)


def read_prose(source: Source) -> Prose:
    """Read one file of prose."""
    text = read_whole(source.path)
    if source.kind == "html":
        return Prose("html", *html_prose(text))
    if source.kind == "rst":
        return Prose("rst", "", _without_markup(text), 1)
    title, line = "", 1
    if source.kind == "markdown" and (match := _FRONT_MATTER.match(text)):
        line += text.count("\n", 0, match.end())
        text = text[match.end() :]
        found = _TITLE.search(match[1])
        title = found[1].strip("\"'") if found else ""
    return Prose(source.kind, title, text, line)


def _without_markup(text: str) -> str:
    """Return reStructuredText with headings as in Markdown, without directives, borders and roles.

    What is left out leaves an empty line, so that the lines of the text are those of the file.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() and _RULE.match(line):
            last = lines[-1] if lines else ""
            if last.strip() and not last.startswith("# ") and len(line.rstrip()) >= len(last.rstrip()):
                lines[-1] = f"# {last.strip()}"
            lines.append("")
        elif line.lstrip().startswith(".. "):
            lines.append("")
        else:
            lines.append(_ROLE.sub(lambda match: match[1].lstrip("~!."), line).replace("``", ""))
    return "\n".join(lines)
