"""The ways of the kernel and of systemd to hold a process to limits."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...runtime.errors import UnavailableError
from .control_group import PERIOD, Group, Limits, folder_group, group_folder, read_kernel_file

_NO_SWAP = "memory.memsw.limit_in_bytes"  # of version 1; absent where swap is not accounted


@dataclass(frozen=True)
class Mechanism:
    """A way to limit a process: `group` puts limits in force until its block ends."""

    name: str
    group: Callable[[Limits], AbstractContextManager[Group]]


def find_mechanism(mounts: Path = Path("/proc/mounts"), systemd: Path = Path("/run/systemd/system")) -> Mechanism:
    """Return how processes can be limited here; raise `UnavailableError` when nothing is allowed to."""
    if systemd.is_dir() and shutil.which("systemd-run"):
        return Mechanism("systemd-run", partial(_systemd_scope, user=os.geteuid() != 0))
    hierarchies: dict[str, Path] = {}
    for line in read_kernel_file(mounts).splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" and is_delegated(Path(folder)):
            return Mechanism("cgroup v2", partial(_version_two, Path(folder)))
        if kind == "cgroup" and os.access(folder, os.W_OK):
            hierarchies |= dict.fromkeys(set(options.split(",")) & {"cpu", "cpuset", "memory"}, Path(folder))
    if {"cpu", "memory"} <= set(hierarchies):
        return Mechanism("cgroup v1", partial(_version_one, hierarchies))
    raise UnavailableError("this user may not limit processes here; run as root, or where systemd is the init system")


@contextmanager
def _version_one(hierarchies: Mapping[str, Path], limits: Limits) -> Iterator[Group]:
    """Make a folder in the hierarchy of each controller, write the limits, and remove the folders again."""
    files: dict[str, dict[str, str]] = {}
    cpuset = hierarchies.get("cpuset")
    if cpuset is not None:
        nodes = read_kernel_file(cpuset / "cpuset.mems")
        files["cpuset"] = {"cpuset.cpus": limits.core_list, "cpuset.mems": nodes}
    if limits.cpu_quota < 1:
        quota = round(PERIOD * limits.group_quota)
        files["cpu"] = {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)}
    if limits.memory is not None:
        files["memory"] = {"memory.limit_in_bytes": str(limits.memory), _NO_SWAP: str(limits.memory)}
    with ExitStack() as stack:
        folders = [
            stack.enter_context(group_folder(hierarchies[controller], values, optional=(_NO_SWAP,)))
            for controller, values in files.items()
        ]
        yield folder_group(folders, "memory.max_usage_in_bytes", "memory.oom_control")


@contextmanager
def _version_two(parent: Path, limits: Limits) -> Iterator[Group]:
    """Make one folder, write the limits, and remove the folder again."""
    files = {"cpuset.cpus": limits.core_list}
    if limits.cpu_quota < 1:
        files["cpu.max"] = f"{round(PERIOD * limits.group_quota)} {PERIOD}"
    if limits.memory is not None:
        files |= {"memory.max": str(limits.memory), "memory.swap.max": "0"}
    with group_folder(parent, files, optional=("cpuset.cpus", "memory.swap.max")) as folder:
        yield folder_group([folder], "memory.peak", "memory.events")


@contextmanager
def _systemd_scope(limits: Limits, *, user: bool) -> Iterator[Group]:
    """Limit by a transient scope: where systemd owns the hierarchy, and the only way without root.

    The scope, and its counters, live as long as the command. The limits are properties of the scope; cores go by
    affinity, which needs no delegated controller. `user`: ask the user's own systemd, not the system's.
    """
    properties = []
    if limits.memory is not None:
        properties += [f"MemoryMax={limits.memory}", "MemorySwapMax=0"]
    if limits.cpu_quota < 1:
        properties.append(f"CPUQuota={limits.group_quota:.0%}")
    start = ["systemd-run", *(["--user"] if user else []), "--scope", "--quiet", "--collect"]
    options = [word for text in properties for word in ("-p", text)]
    yield Group([*start, *options, "taskset", "-c", limits.core_list])


def is_delegated(root: Path) -> bool:
    """Say whether groups below `root` can have limits, switching the controllers on when that is allowed."""
    offered = set(read_kernel_file(root / "cgroup.controllers").split())
    if not {"cpu", "memory"} <= offered or not os.access(root, os.W_OK):
        return False
    with contextlib.suppress(OSError):
        for controller in sorted(offered & {"cpu", "cpuset", "memory"}):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
    enabled = read_kernel_file(root / "cgroup.subtree_control").replace("+", " ").split()
    return {"cpu", "memory"} <= set(enabled)
