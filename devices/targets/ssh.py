"""Run on a real board through the system's own ssh, with the user's keys, configuration and known hosts.

The board needs ssh, a POSIX shell and Python 3.11 or later with `venv`. Everything that is copied or installed there
lies in one private folder, which is removed at the end.
"""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from ...runtime.errors import InputError, UnavailableError
from ...runtime.files import sha256_file
from ..emulation.setup import WORKER_LOCK
from ..profile import Profile, profile_names, read_profile
from .base import ENVIRONMENT, Outcome, ProcessResult, Target, TargetOptions, run_process

CONNECT_SECONDS = 10
_INSTALL_SECONDS = 900.0
_KEPT = ".cache/pocketrank/board"  # below the home folder there
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_LOST = 255  # ssh's own exit code
# A shell reports a signal as 128 + its number (illegal instruction 4, killed 9); timeout(1) says 124.
_OUTCOMES: dict[int | None, Outcome] = {
    None: "timeout",
    124: "timeout",
    0: "ok",
    132: "illegal instruction",
    137: "out of memory",
}
_FACTS = "uname -m; uname -sr; tr -d '\\000' 2>/dev/null < /proc/device-tree/model || true"


class SshTarget(Target):
    """A board behind `ssh://user@host[:port]`."""

    kind = "ssh"

    def __init__(self, address: str, options: TargetOptions) -> None:
        parts = urllib.parse.urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            raise InputError(f"--device {address}: the port is no number from 1 to 65535; fix the address") from None
        user, host = parts.username or "", parts.hostname or ""
        odd = parts.path.strip("/") or parts.query or parts.fragment or parts.password
        # A host or user that begins with a dash would be read as an option of ssh.
        if not host or odd or host.startswith("-") or user.startswith("-"):
            raise InputError(f"--device {address}: write ssh://user@host or ssh://user@host:port")
        self.address = address
        super().__init__(Profile(address, address, "host"))
        self._options = options
        self._host = f"{user}@{host}" if user else host
        self._port = port
        self._control = Path()  # folder of the shared connection's socket
        self._folder = ""  # on the board
        self._python = options.python
        self._uploaded: set[str] = set()
        self._has_timeout = False

    def __enter__(self) -> Self:
        """Connect, read what the board is, make the private folder and the environment.

        Raises `UnavailableError` within seconds when the board does not answer.
        """
        for tool in ("ssh", "scp"):
            if shutil.which(tool) is None:
                raise UnavailableError(f"{tool} is missing on this machine; install openssh-client")
        config = self._options.ssh_config
        if config is not None and not config.is_file():
            raise InputError(f"{config} does not exist; check --ssh-config")
        # Short on purpose: the path of a socket may have 107 bytes.
        self._control = Path(tempfile.mkdtemp(prefix="pr-", dir="/tmp" if Path("/tmp").is_dir() else None))
        try:
            self.profile = self._recognise()
            self._folder = self._make_folder()
            self._python = self._python or self._make_environment()
            self._ask(f"{shlex.quote(self._python)} -I -c 'import numpy, onnxruntime, tokenizers'", 120.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the private folder, unless it is to be kept, and close the connection.

        Without complaint: an error that is on its way matters more.
        """
        if self._folder and not self._options.keep:
            subprocess.run(
                [*self._ssh(), f"rm -rf {shlex.quote(self._folder)}"], capture_output=True, check=False, timeout=60
            )
        self._folder = ""
        self._uploaded = set()
        if self._control.name:
            close = ["ssh", *self._ssh_options(), "-O", "exit", self._host]
            subprocess.run(close, capture_output=True, check=False, timeout=60)
            shutil.rmtree(self._control, ignore_errors=True)

    def upload(self, path: Path) -> str:
        """Copy a file to the board, once for the same content."""
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path")
        # A name of ours: the old protocol of scp gives names to the board's shell. onnxruntime looks at the suffix.
        suffix = path.suffix if _SUFFIX.fullmatch(path.suffix) else ""
        there = f"{self._folder}/{sha256_file(path)}{suffix}"
        if there not in self._uploaded:
            command = ["scp", "-q", *self._ssh_options(), str(path.resolve()), f"{self._host}:{there}"]
            result = run_process(command, "", _INSTALL_SECONDS, _environment())
            if result.outcome != "ok":
                raise UnavailableError(f"{self.address}: {path.name} cannot be copied: {result.detail}; try again")
            self._uploaded.add(there)
        return there

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run the script on the board; a stuck one is stopped there as well as here."""
        variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        words = ["env", *variables, self._python, "-I", self.upload(script), *arguments]
        stop = f"timeout -k 5 {timeout:.0f}" if self._has_timeout else ""
        # `exit $?` keeps the shell alive behind the command, to turn a signal into an exit code.
        command = [*self._ssh(), f"{stop} {shlex.join(words)}; exit $?"]
        result = run_process(command, request, timeout + CONNECT_SECONDS, _environment())
        if result.exit_code == _LOST:
            raise UnavailableError(f"{self.address}: the connection was lost: {result.detail}; try again")
        outcome = _OUTCOMES.get(result.exit_code, "failed")
        detail = f"stopped after {timeout:.0f} s" if outcome == "timeout" else result.detail
        return dataclasses.replace(result, outcome=outcome, detail=detail)

    def _recognise(self) -> Profile:
        """Return the profile of the board that answers; one of ours when its name is known."""
        lines = self._ask(_FACTS, CONNECT_SECONDS * 2.0).splitlines()
        machine, system, board = [*lines, "", "", ""][:3]
        self._has_timeout = bool(self._ask("command -v timeout || true", CONNECT_SECONDS * 2.0).strip())
        for name in profile_names():
            profile = read_profile(name)
            # "Raspberry Pi 4 Model B Rev 1.4" is a Raspberry Pi 4 Model B.
            if board == profile.title or board.startswith(f"{profile.title} Rev"):
                return dataclasses.replace(profile, name=self.address)
        architecture: Literal["aarch64", "x86_64", "host"] = "host"
        if machine in ("aarch64", "arm64"):
            architecture = "aarch64"
        elif machine == "x86_64":
            architecture = "x86_64"
        return Profile(self.address, board or f"{machine}, {system}", architecture)

    def _make_folder(self) -> str:
        if self._options.keep:
            return self._ask(f"umask 077 && mkdir -p ~/{_KEPT} && cd ~/{_KEPT} && pwd", CONNECT_SECONDS * 2.0).strip()
        made = self._ask("umask 077 && mktemp -d /tmp/pocketrank.XXXXXX", CONNECT_SECONDS * 2.0).strip()
        if not made.startswith("/tmp/pocketrank."):
            raise UnavailableError(f"{self.address}: no private folder can be made there; free some space in /tmp")
        return made

    def _make_environment(self) -> str:
        """Return the interpreter of a new environment with the pinned libraries, checked by hash."""
        lock = self.upload(WORKER_LOCK)
        folder = shlex.quote(f"{self._folder}/environment")
        install = f"{folder}/bin/python -m pip install --quiet --disable-pip-version-check --no-deps"
        install += f" --require-hashes --only-binary=:all: -r {shlex.quote(lock)}"
        self._ask(
            f"test -x {folder}/bin/pip || python3 -m venv {folder} && {install}",
            _INSTALL_SECONDS,
            "no environment can be made there (it takes Python 3.11 or later with venv, and a way to PyPI; "
            "or name an interpreter that has numpy, tokenizers and onnxruntime with --python)",
        )
        return f"{self._folder}/environment/bin/python"

    def _ask(self, command: str, timeout: float, failure: str = "") -> str:
        """Return what a shell command on the board prints."""
        result = run_process([*self._ssh(), command], "", timeout, _environment())
        if result.outcome == "timeout" or result.exit_code == _LOST:
            said = f"no answer within {timeout:.0f} s" if result.outcome == "timeout" else result.detail
            raise UnavailableError(
                f"{self.address} cannot be reached: {said}; try `ssh {self._host}` by hand and fix what it says"
            )
        if result.outcome != "ok":
            raise UnavailableError(f"{self.address}: {failure or 'a command failed'}: {result.detail}; fix that")
        return result.output

    def _ssh(self) -> list[str]:
        return ["ssh", *self._ssh_options(), "--", self._host]

    def _ssh_options(self) -> list[str]:
        """Return options for ssh and scp: never ask, give up soon, one connection for all commands."""
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        options += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        options += ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._control}/%C", "-o", "ControlPersist=60"]
        options += ["-o", f"Port={self._port}"] if self._port else []
        return ["-F", str(self._options.ssh_config), *options] if self._options.ssh_config else options


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
