"""Hold this machine to a board's number of cores, quota of time and memory, with the kernel's control groups.

The quota is the board's clock over this machine's: a rough emulation, because a cycle does not do the same work on
both. Under a quota the process runs at full speed and is then stopped for the rest of each period, so it scales
throughput, not the time of one query. Every value is labelled as emulated.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..profile import Profile
from .base import ENVIRONMENT, ProcessResult, Target, run_process
from .control_group import Limits, read_kernel_file
from .mechanisms import find_mechanism


class CgroupTarget(Target):
    """This machine, held to a board's limits."""

    kind = "cgroup"
    is_emulated = True

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._mechanism = find_mechanism()
        self._limits, clock = limits_of(profile)
        self.cpu_quota = self._limits.cpu_quota
        available = len(self._limits.cores)
        memory = f"{self._limits.memory} bytes" if self._limits.memory else "not limited: the profile names none"
        self.limits = {
            "mechanism": self._mechanism.name,
            "cores": f"{available} of the {profile.core_count} of the board" if profile.core_count else "not limited",
            "quota": f"{self.cpu_quota:.0%} of each core ({clock})" if self.cpu_quota < 1 else f"none ({clock})",
            "memory": memory,
        }

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run the script inside a group of its own, which is removed afterwards.

        The wall clock stops what the memory limit only slows down: a process that is short of memory may thrash for
        minutes before the kernel kills it.
        """
        limits = dataclasses.replace(self._limits, threads=_threads(request))
        with self._mechanism.group(limits) as group:
            command = group.command(self.command(script, arguments))
            result = run_process(command, request, timeout, {**os.environ, **ENVIRONMENT})
            result = dataclasses.replace(result, observed=group.observe())
        if result.observed.get("oom_kill", 0) > 0:
            detail = f"killed by the kernel at the limit of {limits.memory or 0:,} bytes"
            return dataclasses.replace(result, outcome="out of memory", detail=detail)
        if result.outcome == "out of memory" and "oom_kill" in result.observed:
            return dataclasses.replace(result, outcome="failed", detail="killed, but not for memory")
        return result


def limits_of(profile: Profile) -> tuple[Limits, str]:
    """Return the limits that a profile asks for on this machine, and how the quota came about."""
    usable = sorted(os.sched_getaffinity(0))
    cores = tuple(usable[: profile.core_count] if profile.core_count else usable)
    quota, here = 1.0, host_megahertz()
    if not profile.cores or here is None:
        clock = "clock of this machine unknown" if profile.cores else "the profile names no clock"
    else:
        wanted = profile.cores[0].megahertz
        quota = min(wanted / here, 1.0)
        clock = f"{wanted:,.0f} MHz over {here:,.0f} MHz"
    return Limits(cores, quota, profile.memory.bytes if profile.memory else None), clock


def host_megahertz() -> float | None:
    """Return the highest clock of this machine, or None where the kernel does not show it."""
    text = read_kernel_file(Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")).strip()
    if text.isdigit():
        return int(text) / 1000
    for line in read_kernel_file(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("cpu MHz"):
            return float(line.partition(":")[2])
    return None


def _threads(request: str) -> int:
    """Return the threads that a request to the worker asks for; other scripts have one."""
    try:
        mapping = json.loads(request)
    except json.JSONDecodeError:
        return 1
    threads = mapping.get("threads", 1) if isinstance(mapping, dict) else 1
    return max(threads, 1) if isinstance(threads, int) else 1
