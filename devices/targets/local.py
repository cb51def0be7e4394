"""Run on this machine, in a fresh process."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ...runtime.errors import InputError
from ..profile import Profile
from .base import ProcessResult
from .subprocess_run import ENVIRONMENT, run_process


class LocalTarget:
    """This machine as it is."""

    kind = "local"
    is_replay = False
    has_wall_time = True
    is_emulated = False
    counts_instructions = False
    cpu_quota = 1.0

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.limits: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        """Nothing to make ready."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to clean up."""

    def upload(self, path: Path) -> str:
        """Return the file's own path."""
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path")
        return str(path.resolve())

    def command(self, script: Path, arguments: Sequence[str]) -> list[str]:
        """Return what starts the script. `-I`: neither the script's folder nor PYTHON* variables count."""
        return [sys.executable, "-I", self.upload(script), *arguments]

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run the script in a fresh process and wait for it asleep."""
        return run_process(self.command(script, arguments), request, timeout, {**os.environ, **ENVIRONMENT})
