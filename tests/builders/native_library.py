"""The C library, compiled once per test run by the compiler that is there."""

import shutil
import subprocess
from pathlib import Path

import pytest
from builders.tiny_recipe import REPOSITORY
from filelock import FileLock


def build_native(folder: Path, *settings: str) -> Path:
    """Compile the library and its tool into `folder` unless they are there; skip the test without compiler or make."""
    for command in ("make", "cc"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is missing; install it: apt-get install gcc make")
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            command = ["make", "-s", "-C", REPOSITORY / "runtime" / "native", f"OUT={folder}", *settings]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""  # no warnings
    return folder
