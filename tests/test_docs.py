"""What the documentation says about files and commands is true: links, code paths, command lines, README's length."""

import re
import shlex
from pathlib import Path

import pytest
from builders.tiny_recipe import REPOSITORY
from pocketrank.cli.main import build_parser

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
GUIDES = [README, *sorted((DOCS / "tutorial").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
MAX_README_LINES = 120

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_PATH = re.compile(r"`((?:\w[\w.-]*/)+[\w.-]+\.(?:py|toml|lock|mjs))`")


def name(page: Path) -> str:
    """Return what a test of the page is called."""
    return str(page.relative_to(REPOSITORY))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(page: Path) -> list[str]:
    """Return the lines of the page's code blocks that call pocketrank."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("pocketrank ")]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if "://" not in target and not (file.exists() and (not anchor or anchor in anchors(file))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_code_path_exists(page: Path) -> None:
    paths = CODE_PATH.findall(page.read_text("utf-8"))
    # Folders of a run are no folders of the repository.
    missing = [path for path in paths if not path.startswith("runs/") and not (REPOSITORY / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_every_command_line_parses(page: Path) -> None:
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        parsed = build_parser(words[0]).parse_args(words)
        assert callable(parsed.execute), line


def test_the_guides_call_the_main_commands() -> None:
    called = {line.split()[1] for page in GUIDES for line in command_lines(page)}
    assert called >= {"run", "search", "index", "verify", "inspect", "benchmark", "gate", "evaluate", "devices"}
