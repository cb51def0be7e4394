"""Limits by cgroup v2: one folder."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .control_group import PERIOD, Group, Limits, folder_group, group_folder, read_kernel_file


class VersionTwo:
    """cgroup v2."""

    name = "cgroup v2"

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Make the folder, write the limits, and remove the folder again."""
        files = {"cpuset.cpus": limits.core_list}
        if limits.cpu_quota < 1:
            files["cpu.max"] = f"{round(PERIOD * limits.group_quota)} {PERIOD}"
        if limits.memory is not None:
            files |= {"memory.max": str(limits.memory), "memory.swap.max": "0"}
        with group_folder(self._parent, files, optional=("cpuset.cpus", "memory.swap.max")) as folder:
            yield folder_group([folder], "memory.peak", "memory.events")


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
