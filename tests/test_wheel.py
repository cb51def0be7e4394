"""What the built wheel holds: every module and data file of the package, and nothing else of the repository."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from builders.tiny_recipe import REPOSITORY

FOLDERS = ("runtime", "devices", "export", "pipeline", "benchmarks", "cli", "models")
DATA = (".html", ".txt", ".css", ".js", ".toml", ".c", ".json", ".onnx", ".safetensors", ".md")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("the repository's files are listed by git, which is not at hand")
    return [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(folder / "source.tar", "w") as archive:
        for name in tracked:
            archive.add(REPOSITORY / name, name)
    with tarfile.open(folder / "source.tar") as archive:
        archive.extractall(folder / "source", filter="data")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", folder, folder / "source"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}


def test_every_module_and_data_file_is_in_the_wheel(wheel: set[str], tracked: list[str]) -> None:
    expected = {
        f"pocketrank/{name}"
        for name in tracked
        if name.split("/")[0] in FOLDERS and (name.endswith((".py", *DATA)) or Path(name).suffix == ".lock")
    }
    assert wheel == expected | {"pocketrank/__main__.py"}
