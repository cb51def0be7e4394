"""Read documentation out of Python source files without importing them.

A documented object gives a summary (the first paragraph of its docstring) and a body (what follows, cleaned of
markup and examples and cut to a moderate length).
"""

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BODY_CHARACTERS = 600  # about 150 tokens: a passage that a teacher of 256 tokens sees whole
MIN_BODY_WORDS = 10
SUMMARY_WORDS = range(4, 31)

# Tests, copies of other packages, and parts that Linux distributions split off or patch.
SKIPPED_FOLDERS = frozenset(
    (
        *("test", "tests", "testing", "idlelib", "lib2to3", "distutils", "ensurepip", "turtledemo"),
        *("_distutils", "_vendor", "vendor", "externals", "site-packages", "dist-packages", "__pycache__"),
    )
)

_RULE = re.compile(r"^[\s=\-~^*#\"'`.+|]{3,}$")  # underlines of headings, borders of tables
_TEMPLATE = re.compile(r"%\(\w+\)s")  # what a package fills in when it is imported
_HEADINGS = frozenset(
    ("Examples", "Example", "Example:", "Examples:", "Notes", "Explanation", "References", "See Also")
)
_DIRECTIVE = re.compile(r"^\s*\.\. ")
_MARKUP = re.compile(r":[a-zA-Z:]+:`([^`]*)`")
_SENTENCE_END = re.compile(r"[.!?:;](?=\s)")


@dataclass(frozen=True)
class Passage:
    """One documented object: where it is, what it is called, its summary and its body."""

    identifier: str  # full dotted path, private modules included
    title: str  # the same without private modules, as a user would write it
    summary: str
    body: str


def source_files(root: Path) -> list[Path]:
    """Return the Python files below `root` in an order that does not depend on the file system."""
    files = [
        path
        for path in root.rglob("*.py")
        if path.is_file() and SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts)
    ]
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def module_passages(path: Path, module: str) -> Iterator[Passage]:
    """Yield the documented public objects of one source file; a file that does not parse yields nothing.

    `module` is its dotted name. Of two objects with one name, as in the branches of an `if`, the first counts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's source
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    seen: set[str] = set()
    for name, docstring in _docstrings(tree, module):
        passage = make_passage(name, docstring)
        if passage and name not in seen:
            seen.add(name)
            yield passage


def make_passage(identifier: str, docstring: str, title: str = "") -> Passage | None:
    """Split a docstring into summary and body; `None` when either is too short or too long to be of use."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(docstring).strip())
    summary = clean_line(paragraphs[0])
    if len(summary.split()) not in SUMMARY_WORDS:
        return None
    body = cut("\n".join(filter(None, map(_clean_paragraph, paragraphs[1:]))))
    if len(body.split()) < MIN_BODY_WORDS or summary.lower() in body.lower():
        return None
    return Passage(identifier, title or _public_name(identifier), summary, body)


def clean_line(text: str) -> str:
    """Return `text` on one line, without reStructuredText roles and quote marks."""
    plain = _MARKUP.sub(lambda match: match[1].lstrip("~!."), _TEMPLATE.sub("", text)).replace("`", "")
    return " ".join(character_safe(plain).split())


def character_safe(text: str) -> str:
    """Return `text` without what UTF-8 cannot hold (half surrogate pairs from string escapes)."""
    return text.encode("utf-8", "ignore").decode("utf-8")


def cut(text: str, limit: int = MAX_BODY_CHARACTERS) -> str:
    """Return at most `limit` characters of `text`, cut after a paragraph or sentence where one ends late enough."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1]
    ends = [match.end() for match in _SENTENCE_END.finditer(head)] + [head.rfind("\n")]
    end = max(ends)
    if end < limit // 2:
        end = head.rfind(" ")
    return head[: end if end > 0 else limit].rstrip()


def _docstrings(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield name, docstring
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return  # what is defined inside a function is nobody's documentation
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if not child.name.startswith("_"):
                    yield from visit(child, f"{name}.{child.name}")
            elif isinstance(child, (ast.If, ast.Try, ast.With)):
                yield from visit(child, name)

    yield from visit(tree, module)


def _clean_paragraph(paragraph: str) -> str:
    if paragraph.lstrip().startswith(">>>"):
        return ""  # an example session: many tokens, few words
    lines = [line for line in paragraph.split("\n") if not _RULE.match(line) and not _DIRECTIVE.match(line)]
    kept: list[str] = []
    for line in lines:
        if line.lstrip().startswith((">>>", "... ")):
            break  # the rest of the paragraph is a session and what it prints
        kept.append(line)
    text = clean_line(" ".join(kept))
    return "" if text in _HEADINGS else text


def _public_name(identifier: str) -> str:
    parts = identifier.split(".")
    return ".".join(part for part in parts if not part.startswith("_")) or identifier
