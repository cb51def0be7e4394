"""What ruff and the import contracts do not see: long functions, crowded folders, doors that export what is meant."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections import Counter
from pathlib import PurePosixPath

import pytest
from builders.tiny_recipe import REPOSITORY

MOST_LINES, MOST_MODULES = 60, 18
CODE = ("runtime", "devices", "export", "pipeline", "benchmarks", "cli", "experiments")
DOORS = {
    "pocketrank.pipeline": "run_recipe",
    "pocketrank.pipeline.evaluate": "evaluate_bundle",
    "pocketrank.benchmarks.measure": "measure_model",
    "pocketrank.benchmarks.gate": "judge_report",
}


@pytest.fixture(scope="module")
def modules() -> list[str]:
    found = [path.relative_to(REPOSITORY) for folder in CODE for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path.as_posix() for path in found)


def test_no_function_is_longer_than_a_screen(modules: list[str]) -> None:
    long = [
        f"{name}: {node.name}"
        for name in modules
        for node in ast.walk(ast.parse((REPOSITORY / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MOST_LINES
    ]
    assert not long


def test_no_folder_is_a_hall(modules: list[str]) -> None:
    counts = Counter(str(PurePosixPath(name).parent) for name in modules)
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES}


@pytest.mark.parametrize("module", DOORS)
def test_each_task_has_one_documented_function(module: str) -> None:
    door = importlib.import_module(module)
    assert DOORS[module] in door.__all__
    assert sorted(door.__all__) == list(door.__all__)
    text = inspect.getdoc(getattr(door, DOORS[module])) or ""
    assert "Raises" in text or "raise" in text
    assert DOORS[module] in text, "the docstring shows how it is called"


def test_doors_load_no_torch() -> None:
    names = ", ".join(DOORS)
    code = f"import sys, {names}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
