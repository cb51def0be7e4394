"""The reference is what the code says, and says all of it."""

import dataclasses
from typing import Any, Literal

import pytest
from pocketrank.benchmarks.records.metrics import METRICS
from pocketrank.cli.main import COMMANDS
from pocketrank.devices.profile import profile_names
from pocketrank.runtime.manifest import MANIFEST_NAME, read_manifest
from pocketrank.runtime.packaged import packaged_folder
from pocketrank.runtime.search.index import DocumentIndex

from experiments.reference.__main__ import FOLDER, PAGES
from experiments.reference.declarations import declarations, type_words
from experiments.reference.markdown import docstring, table
from experiments.reference.python import describe_member


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / name
    monkeypatch.setenv("COLUMNS", "40")  # the terminal's width changes nothing
    assert path.is_file() and path.read_text(encoding="utf-8") == PAGES[name](), f"{path} is stale; run: make reference"


def test_the_folder_holds_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_nothing_is_left_out() -> None:
    assert all(f"`{metric}`" in page("metrics.md") and f"`{metric}`" in page("budget.md") for metric in METRICS)
    assert all(f"\n## {command}\n" in page("command-line.md") for command in COMMANDS)
    assert all(f"\n## {name}\n" in page("devices.md") for name in profile_names())
    bundle = packaged_folder("general-english", "") / "bundle"
    assert all(name in page("bundle.md") for name in (MANIFEST_NAME, *read_manifest(bundle).files))


@pytest.mark.parametrize("name", ["recipe.md", "budget.md", "bundle.md", "report.md", "devices.md"])
def test_every_key_has_a_meaning(name: str) -> None:
    rows = [line for line in page(name).splitlines() if line.startswith("| `")]
    assert rows and not [row for row in rows if row.endswith("|  |")]


@dataclasses.dataclass(frozen=True)
class Sample:
    """A dataclass whose fields have comments."""

    # two lines
    # above,
    first: int  # one beside
    second: tuple[Literal["a", "b"], ...] = ("a",)
    third: dict[str, float | None] = dataclasses.field(default_factory=dict)


def test_meanings_come_from_comments() -> None:
    first, second, third = declarations(Sample)
    assert (first.type, first.default, first.meaning) == ("whole number", "required", "two lines above, one beside")
    assert (second.type, second.default, second.meaning) == ('list of `"a"`, `"b"`', '`["a"]`', "")
    assert (third.type, third.default) == ("table of numbers, or absent", "`{}`")
    assert type_words(tuple[tuple[int, ...], ...]) == "list of lists of whole numbers"
    assert type_words(dict[str, Any]) == "table of any values"


def test_docstrings_become_markdown() -> None:
    text = "First.\n\n    code\n      more\n\nLast:\n>>> 1 + 1\n2\n"
    assert docstring(text) == "First.\n\n```\ncode\n  more\n```\n\nLast:\n\n```python\n>>> 1 + 1\n2\n```"
    assert table(("a",), [("<x> | `<y>`",)]) == "| a |\n| --- |\n| \\<x> \\| `<y>` |"


def test_a_class_is_shown_with_its_public_methods() -> None:
    text = "\n".join(describe_member("DocumentIndex", DocumentIndex))
    assert "### DocumentIndex" in text and "#### DocumentIndex.open" in text and "@classmethod" in text
    assert "def search(self" in text and ".__" not in text and "DocumentIndex._" not in text
