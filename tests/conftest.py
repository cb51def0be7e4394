"""One tiny real student, distilled once per test run from the real teacher by the real command, and shared."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from builders.native_library import build_native
from builders.processes import run_command
from builders.tiny_recipe import DATA, REPOSITORY, TINY_BUDGET, TINY_RECIPE, Command
from filelock import FileLock
from hypothesis import settings

# The same examples in every run: a release must not be stopped by a draw. HYPOTHESIS_PROFILE=explore draws new ones.
# No example has a deadline: a busy machine is slow.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that the processes of a parallel run end together.

    One of them makes the run that many others wait for; what needs no such run goes on beside it.
    """
    order = ("test_run.py", "test_endpoint.py", "test_installed.py", "test_python_docs.py")
    items.sort(key=lambda item: order.index(item.path.name) if item.path.name in order else len(order))
    items.sort(key=lambda item: item.path.name not in order and "end_to_end" not in item.path.parts)


@pytest.fixture(scope="session")
def pocketrank() -> Command:
    """Run the command line in a process of its own and return what it printed."""
    return run_command


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this test run share (pytest-xdist gives each a folder of its own)."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_recipe(shared: Path) -> Path:
    """Return a recipe that goes through every stage in well under a minute."""
    folder = shared / "recipe"
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.toml"
    with FileLock(shared / "recipe.lock"):
        if not path.exists():
            (folder / "budget.toml").write_text(TINY_BUDGET, encoding="utf-8")
            path.write_text(TINY_RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, pocketrank: Command, shared: Path) -> Path:
    """Return the folder of a finished run of the tiny recipe; copy it before changing it."""
    out = shared / "tiny"
    with FileLock(shared / "tiny.lock"):
        if not out.exists():
            done = pocketrank("run", tiny_recipe, "--out", out)
            assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """Return the bundle of the tiny run; copy it before changing it."""
    return tiny_run / "bundle"


@pytest.fixture(scope="session")
def native(shared: Path) -> Path:
    """Return the folder of the C library and its command line tool."""
    return build_native(shared / "native")


@pytest.fixture
def native_library(native: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the binding open the C library of this test run, and return its file."""
    path = native / "libpocketrank.so"
    monkeypatch.setenv("POCKETRANK_NATIVE", str(path))
    return path


@pytest.fixture(scope="session")
def tracked_files() -> list[str]:
    """Return the names of the repository's files that git does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("the repository's files are listed by git, which is not at hand")
    return [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="session")
def wheel_file(tracked_files: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the repository as it is, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(folder / "source.tar", "w") as archive:
        for name in tracked_files:
            archive.add(REPOSITORY / name, name)
    with tarfile.open(folder / "source.tar") as archive:
        archive.extractall(folder / "source", filter="data")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", folder, folder / "source"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real retrieval sets, or skip where this machine has none."""
    if not DATA.is_dir():
        pytest.skip(f"no retrieval sets at {DATA}; set POCKETRANK_DATA to a folder of them in BEIR layout")
    return DATA
