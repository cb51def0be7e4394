"""Limits by cgroup v1: a folder in the hierarchy of each controller."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .control_group import PERIOD, Group, Limits, folder_group, group_folder, read_kernel_file

_NO_SWAP = "memory.memsw.limit_in_bytes"  # absent where swap is not accounted


class VersionOne:
    """cgroup v1."""

    name = "cgroup v1"

    def __init__(self, hierarchies: Mapping[str, Path]) -> None:
        self._hierarchies = hierarchies  # by controller

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Make the folders, write the limits, and remove the folders again."""
        files: dict[str, dict[str, str]] = {}
        cpuset = self._hierarchies.get("cpuset")
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
                stack.enter_context(group_folder(self._hierarchies[controller], values, optional=(_NO_SWAP,)))
                for controller, values in files.items()
            ]
            yield folder_group(folders, "memory.max_usage_in_bytes", "memory.oom_control")
