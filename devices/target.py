"""How to run something on a device. A profile says what a board is, a target how to reach it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from ..runtime.errors import InputError, UnavailableError
from ..runtime.schema import nearest
from .profile import Profile, profile_names, read_profile

Outcome = Literal["ok", "failed", "out of memory", "timeout"]


@dataclass(frozen=True)
class Completed:
    """A script that ran on a device. Running out of memory or time is a result, not an error of ours."""

    outcome: Outcome
    output: str  # standard output
    detail: str = ""  # last line of the error stream, or what happened
    seconds: float = 0.0


class Target(Protocol):
    """A place where a Python script can run. Use it as a context manager: leaving it cleans up."""

    profile: Profile
    kind: str  # local, cgroup, qemu, ssh, replay
    timed: bool  # whether seconds measured there are the device's own
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


def open_target(device: str) -> Target:
    """Return the target that a `--device` value names: `host`, or the name of a profile.

    Raises `InputError` for an unknown name, `UnavailableError` for a device that this machine cannot stand in for.
    """
    if "://" in device:
        scheme = device.partition("://")[0]
        raise InputError(f"--device {device}: unknown scheme {scheme!r}; name a device, see `pocketrank devices`")
    name, _, how = device.partition("@")
    profile = read_profile(name)
    if profile.architecture == "host" and not how:
        from .local import LocalTarget

        return LocalTarget(profile)
    raise UnavailableError(
        f"device {device!r} is known, but this machine cannot stand in for it; use --device host, "
        "or run the command on the board itself"
    )


def check_devices(devices: Sequence[str]) -> None:
    """Refuse misspelt device names before anything is measured."""
    for device in devices:
        name = device.partition("@")[0]
        if "://" not in device and name not in profile_names():
            raise InputError(f"there is no device {name!r}; {nearest(name, profile_names())}")


def readiness(profile: Profile) -> tuple[bool, str]:
    """Return whether the device can be measured from here now, and how or what is missing."""
    try:
        target = open_target(profile.name)
    except UnavailableError as error:
        return False, str(error)
    return True, target.kind


def with_name(profile: Profile, name: str) -> Profile:
    """Return the profile under another name, such as the address of the very board."""
    return dataclasses.replace(profile, name=name)
