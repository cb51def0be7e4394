"""The door for other programs: exactly these names, documented, with examples that run, paths as text or `Path`."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from builders.miniature import write_bundle
from builders.tiny_recipe import REPOSITORY
from pocketrank import runtime
from pocketrank.runtime.corpus import Document
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.search.build import build_index

DOORS = {"pocketrank.runtime": ["DocumentIndex", "Encoder", "HybridIndex", "verify_bundle"]}
DOCUMENTS = {
    "lists": "merge two sorted lists",
    "socket": "open a network connection",
    "file": "close the file",
    "random": "random number",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    bundle = write_bundle(folder / "bundle")
    documents = [Document(name, "", text) for name, text in DOCUMENTS.items()]
    build_index(runtime.Encoder.open(bundle), documents, folder / "index", hybrid=True)
    return folder


@pytest.mark.parametrize("module", DOORS)
def test_a_door_exports_exactly_its_documented_names(module: str) -> None:
    door = importlib.import_module(module)
    assert sorted(door.__all__) == list(door.__all__) == DOORS[module]
    for name in door.__all__:
        value = getattr(door, name)
        assert inspect.getdoc(value), name
        assert ">>> " in (inspect.getdoc(value) or ""), f"{module}.{name} has no example"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        door.nothing  # noqa: B018


@pytest.mark.parametrize(
    "module",
    [
        "pocketrank.runtime",
        *(f"pocketrank.runtime.{name}" for name in ("encoder", "search.index", "search.hybrid", "verify")),
    ],
)
def test_examples_in_docstrings_run(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = {name: getattr(runtime, name) for name in runtime.__all__}
    outcome = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_paths_may_be_text(folder: Path, tmp_path: Path) -> None:
    assert len(runtime.DocumentIndex.open(str(folder / "index"))) == len(DOCUMENTS)
    assert runtime.Encoder.open(str(folder / "bundle")).dimension == 24
    assert all(check.passed for check in runtime.verify_bundle(str(folder / "bundle")))
    for door in (runtime.Encoder.open, runtime.DocumentIndex.open, runtime.verify_bundle):
        with pytest.raises(InputError, match="nowhere"):
            door(str(tmp_path / "nowhere"))


def test_importing_the_door_loads_nothing_heavy() -> None:
    code = "import sys, pocketrank.runtime; print({'onnxruntime', 'tokenizers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_python_m_pocketrank_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pocketrank", "verify", "nowhere"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 2
    assert done.stderr.startswith("pocketrank: error: nowhere")
