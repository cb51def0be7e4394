"""From the name of a device to a target that is ready to run."""

import platform
from collections.abc import Sequence
from pathlib import Path

from ...runtime.errors import InputError, UnavailableError
from ...runtime.schema import did_you_mean
from ..profile import Profile, read_profile, with_name
from .base import BoardOptions, Target


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
            f"--device {how}:{name}: there is no way {how!r}; {did_you_mean(how, ('qemu', 'cgroup', 'replay'))}"
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
            from ..emulation.setup import read_setup

            return True, f"qemu ({read_setup().qemu_version})"
        if how == "cgroup":
            from .cgroup import find_mechanism

            return True, f"cgroup ({find_mechanism().name})"
    except UnavailableError as error:
        return False, str(error)
    return True, how
