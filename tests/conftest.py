"""One tiny real student, distilled once per test run from the real teacher by the real command, and shared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.tiny_recipe import DATA, REPOSITORY, TINY_BUDGET, TINY_RECIPE, Command
from hypothesis import settings

# The same examples in every run: a release must not be stopped by a draw. HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def pocketrank() -> Command:
    """Run the command line in a process of its own and return what it printed."""

    def call(*words: object, cwd: Path = REPOSITORY, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pocketrank.cli.main", *map(str, words)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)

    return call


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recipe that goes through every stage in well under a minute."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "budget.toml").write_text(TINY_BUDGET, encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(TINY_RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, pocketrank: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run of the tiny recipe."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    done = pocketrank("run", tiny_recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """Return the bundle of the tiny run; copy it before changing it."""
    return tiny_run / "bundle"


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real retrieval sets, or skip where this machine has none."""
    if not DATA.is_dir():
        pytest.skip(f"no retrieval sets at {DATA}; set POCKETRANK_DATA to a folder of them in BEIR layout")
    return DATA
