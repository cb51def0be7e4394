"""From the name of a device to a target that is ready to run."""

import dataclasses
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ...runtime.errors import InputError, UnavailableError
from ...runtime.schema import did_you_mean
from ..profile import Profile, read_profile
from .base import Target, TargetOptions


def open_target(device: str, options: TargetOptions | None = None) -> AbstractContextManager[Target]:
    """Return the target that a `--device` value names; it is recorded where `options` name a file for that.

    NAME         the best mode from here: this machine itself for `host`; for an ARM board qemu, or limits of the
                 kernel when this machine is ARM too; for an x86 board limits of the kernel
    qemu:NAME    the ARM build under the board's exact CPU model
    cgroup:NAME  this machine held to the board's cores, clock and memory
    ssh://…      a real board
    replay:FILE  recorded answers of a device

    Raises `InputError` for an unknown name, `UnavailableError` for a device that cannot be emulated on this machine.
    """
    options = options or TargetOptions()
    target = _open(device, options)
    if options.record is None:
        return target
    from .replay import recorded

    return recorded(target, options.record)


def _open(device: str, options: TargetOptions) -> Target:
    if device.startswith("ssh://"):
        from .ssh import SshTarget

        return SshTarget(device, options)
    if "://" in device:
        scheme = device.partition("://")[0]
        raise InputError(f"--device {device}: unknown scheme {scheme!r}; a real board is ssh://user@host")
    mode, _, name = device.rpartition(":")
    if mode == "replay":
        from .replay import ReplayTarget

        return ReplayTarget(Path(name))
    profile = _named_profile(mode, name)
    mode = mode or _best_mode(profile)
    if mode == "local":
        return Target(profile)
    if mode == "qemu":
        from .qemu import QemuTarget

        return QemuTarget(dataclasses.replace(profile, name=device))
    from .cgroup import CgroupTarget

    return CgroupTarget(dataclasses.replace(profile, name=device))


def _named_profile(mode: str, name: str) -> Profile:
    if mode not in ("", "qemu", "cgroup"):
        hint = did_you_mean(mode, ("qemu", "cgroup", "replay"))
        raise InputError(f"--device {mode}:{name}: there is no mode {mode!r}; {hint}")
    profile = read_profile(name)
    if mode and profile.architecture == "host":
        raise InputError(f"--device {mode}:{name}: {mode} emulates another device; use --device {name}")
    if mode == "qemu" and profile.architecture != "aarch64":
        raise InputError(f"--device qemu:{name}: only ARM boards run under qemu; use --device cgroup:{name}")
    return profile


def _best_mode(profile: Profile) -> str:
    if profile.architecture == "host":
        return "local"
    if profile.architecture == "aarch64" and platform.machine() not in ("aarch64", "arm64"):
        return "qemu"
    return "cgroup"


def check_devices(devices: Sequence[str]) -> None:
    """Refuse misspelt device names before anything is measured."""
    for device in devices:
        mode, _, name = device.rpartition(":")
        if "://" not in device and mode != "replay":
            _named_profile(mode, name)
    twice = [device for device in devices if devices.count(device) > 1]
    if twice:
        raise InputError(f"device {twice[0]} is named twice; name it once")


def readiness(profile: Profile) -> tuple[bool, str]:
    """Return whether the device can be measured from here now, and how or what is missing."""
    mode = _best_mode(profile)
    try:
        if mode == "qemu":
            from ..emulation.setup import read_setup

            return True, f"qemu ({read_setup().qemu_version})"
        if mode == "cgroup":
            from .mechanisms import find_mechanism

            return True, f"cgroup ({find_mechanism().name})"
    except UnavailableError as error:
        return False, str(error)
    return True, mode
