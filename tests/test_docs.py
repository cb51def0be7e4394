"""What the documentation says of files, commands and keys is true, and the README is short."""

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from builders.tiny_recipe import REPOSITORY
from pocketrank.benchmarks.gate.budget import read_budget
from pocketrank.cli.main import build_parser
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.settings import Recipe

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


def code_blocks(page: Path, language: str = r"\w*") -> list[str]:
    """Return the fenced blocks of the page, of one language or of all."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """Return the lines of the page's code blocks that call pocketrank."""
    lines = "".join(code_blocks(page)).replace("\\\n", " ").splitlines()
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


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_recipe_and_budget_is_read(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(code_blocks(page, "toml")):
        file = tmp_path / f"block-{number}.toml"
        file.write_text(block, encoding="utf-8")
        sections = set(tomllib.loads(block))
        if sections <= {field.name for field in dataclasses.fields(Recipe)}:
            read_recipe(file)
        elif sections <= {"bundle", "quality", "device", "regression"}:
            read_budget(file)
