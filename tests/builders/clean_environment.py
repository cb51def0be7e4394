"""An environment that holds the built wheel and the packages that it asks for, and nothing else; made offline."""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from builders.tiny_recipe import REPOSITORY
from packaging.requirements import Requirement


class CleanEnvironment:
    """A virtual environment with the wheel, the packages of `device.lock`, and what the named extras bring."""

    def __init__(self, folder: Path, wheel: Path, extras: Iterable[str] = ()) -> None:
        venv.create(folder, with_pip=False)
        self.programs = folder / "bin"
        python = self.programs / "python"
        lock = (REPOSITORY / "requirements" / "device.lock").read_text(encoding="utf-8")
        names = {*re.findall(r"^([\w.-]+)==", lock, re.MULTILINE), *_brought(wheel, set(extras))}
        site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        for name in names:
            _link(name, site)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, wheel], check=True, capture_output=True)

    def run(
        self, *command: object, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with the environment's programs first on the path, and nothing of the tests' own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GITHUB"))}
        variables = kept | {"PATH": f"{self.programs}:{os.environ['PATH']}"} | dict(environment or {})
        words = [str(word) for word in command]
        return subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


def _brought(wheel: Path, extras: set[str]) -> set[str]:
    """Return the packages that `extras` of the wheel bring, and those that these ask for."""
    (found,) = metadata.distributions(path=[str(wheel)])
    asked = [Requirement(text) for text in found.requires or ()]
    wanted = [item.name for item in asked for extra in extras if item.marker and item.marker.evaluate({"extra": extra})]
    names: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in names:
            continue
        names.add(name)
        requirements = [Requirement(text) for text in metadata.distribution(name).requires or ()]
        wanted += [item.name for item in requirements if not item.marker or item.marker.evaluate({"extra": ""})]
    return names


def _link(name: str, site: Path) -> None:
    """Link an installed package into `site`."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        (site / top).symlink_to(Path(str(distribution.locate_file(top))))
