"""How to run something on a device. A profile says what a board is, a target how to reach it."""

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from ..runtime.errors import InputError, UnavailableError
from ..runtime.schema import nearest
from .profile import Profile, read_profile

Outcome = Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]


@dataclass(frozen=True)
class Completed:
    """A script that ran on a device. Running out of memory or time is a result, not an error of ours."""

    outcome: Outcome
    output: str  # standard output
    detail: str = ""  # last line of the error stream, or what happened
    seconds: float = 0.0
    observed: Mapping[str, float] = field(default_factory=dict)  # seen from outside, such as counted instructions


@dataclass(frozen=True)
class BoardOptions:
    """How to reach and leave a real board. The defaults suit a board that the user's own ssh can reach."""

    python: str = ""  # an interpreter there with numpy, tokenizers and onnxruntime; empty: make an environment
    keep: bool = False  # leave the environment there for the next run
    ssh_config: Path | None = None  # instead of the user's own


class Target(Protocol):
    """A place where a Python script can run. Use it as a context manager: leaving it cleans up."""

    profile: Profile
    kind: str  # local, cgroup, qemu, ssh, replay
    timed: bool  # whether seconds measured there are the device's own
    stands_in: bool  # whether another machine plays the device, so that figures are labelled `emulated`
    counts: bool  # whether instructions between the worker's marks are counted
    share: float  # of the processor's time that one thread may have; below 1 under a quota
    limits: Mapping[str, str]  # what holds the process to the profile, for the report

    def place(self, path: Path) -> str:
        """Bring a file to the device and return its path there."""
        ...

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> Completed:
        """Run a Python script that reads `request` on standard input; the caller sleeps meanwhile.

        The script finds the moment of its start on the monotonic clock in POCKETRANK_SPAWNED.
        """
        ...

    def __enter__(self) -> Self:
        """Make the device ready."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""
        ...


def open_target(device: str, options: BoardOptions | None = None) -> Target:
    """Return the target that a `--device` value names.

    NAME         the best way from here: this machine itself for `host`; for an ARM board qemu, or limits of the
                 kernel when this machine is ARM too; for an x86 board limits of the kernel
    qemu:NAME    the ARM build under the board's exact CPU model
    cgroup:NAME  this machine held to the board's cores, clock and memory
    ssh://…      a real board
    replay:FILE  recorded answers of a device

    Raises `InputError` for an unknown name, `UnavailableError` for a device that this machine cannot stand in for.
    """
    if device.startswith("ssh://"):
        from .ssh import SshTarget

        return SshTarget(device, options or BoardOptions())
    if "://" in device:
        scheme = device.partition("://")[0]
        raise InputError(f"--device {device}: unknown scheme {scheme!r}; a real board is ssh://user@host")
    how, _, name = device.rpartition(":")
    if how == "replay":
        from .replay import ReplayTarget

        return ReplayTarget(Path(name))
    profile = _named(how, name)
    if not how:
        how = _best_way(profile)
    if how == "local":
        from .local import LocalTarget

        return LocalTarget(profile)
    if how == "qemu":
        from .qemu import QemuTarget

        return QemuTarget(with_name(profile, device))
    from .cgroup import CgroupTarget

    return CgroupTarget(with_name(profile, device))


def _named(how: str, name: str) -> Profile:
    if how not in ("", "qemu", "cgroup"):
        raise InputError(
            f"--device {how}:{name}: there is no way {how!r}; {nearest(how, ('qemu', 'cgroup', 'replay'))}"
        )
    profile = read_profile(name)
    if how and profile.architecture == "host":
        raise InputError(f"--device {how}:{name}: {how} stands in for another device; use --device {name}")
    if how == "qemu" and profile.architecture != "aarch64":
        raise InputError(f"--device qemu:{name}: only ARM boards run under qemu; use --device cgroup:{name}")
    return profile


def _best_way(profile: Profile) -> str:
    if profile.architecture == "host":
        return "local"
    if profile.architecture == "aarch64" and platform.machine() not in ("aarch64", "arm64"):
        return "qemu"
    return "cgroup"


def check_devices(devices: Sequence[str]) -> None:
    """Refuse misspelt device names before anything is measured."""
    for device in devices:
        how, _, name = device.rpartition(":")
        if "://" not in device and how != "replay":
            _named(how, name)
    twice = [device for device in devices if devices.count(device) > 1]
    if twice:
        raise InputError(f"device {twice[0]} is named twice; name it once")


def readiness(profile: Profile) -> tuple[bool, str]:
    """Return whether the device can be measured from here now, and how or what is missing."""
    how = _best_way(profile)
    try:
        if how == "qemu":
            from .qemu_setup import read_setup

            return True, f"qemu ({read_setup().qemu_version})"
        if how == "cgroup":
            from .cgroup import find_mechanism

            return True, f"cgroup ({find_mechanism().name})"
    except UnavailableError as error:
        return False, str(error)
    return True, how


def with_name(profile: Profile, name: str) -> Profile:
    """Return the profile under another name, such as the address of the very board."""
    return dataclasses.replace(profile, name=name)
