"""One tiny real student, distilled once per test run from the real teacher by the real command, and shared."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a release must not be stopped by a draw. HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POCKETRANK_DATA", REPOSITORY.parent / "shared" / "data"))

TINY_RECIPE = """\
name = "tiny"

[corpus]
source = "pydocs"
packages = ["pip"]
max_documents = 150
max_test_queries = 30

[queries]
max_texts = 400

[vocabulary]
candidates = [512, 640]

[teacher]
dimension = 32

[student]
layers = 1
hidden = 32
heads = 2
intermediate = 64
max_length = 64
initialise = "teacher"    # not from the shipped general student: another one must not move what tests expect

[distill]
steps = 60
batch_texts = 16
warmup_steps = 5
learning_rate = 2e-3
checkpoint_seconds = 1

[evaluate]
bootstrap = 50

[benchmark]
repetitions = 1
min_seconds = 0.1
min_queries = 60

[gate]
budget = "budget.toml"
"""

TINY_BUDGET = """\
[bundle]
shipped_bytes = "300 KB"
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def pocketrank() -> Command:
    """Run the command line in a process of its own and return what it printed."""

    def call(*words: object, cwd: Path = REPOSITORY, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pocketrank.cli.main", *map(str, words)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)

    return call


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recipe that goes the whole road in well under a minute."""
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
