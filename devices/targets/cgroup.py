"""Hold this machine to a board's number of cores, share of time and memory, with the kernel's control groups.

The share is the board's clock over this machine's: a rough stand-in, because a cycle does not do the same work on both.
A share of time lets the process run at full speed and then stops it for the rest of each period, so it scales
throughput, not the time of one query. Every value is labelled as emulated.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...runtime.errors import UnavailableError
from ..profile import Profile
from .base import ProcessResult
from .local import LocalTarget
from .subprocess_run import ENVIRONMENT, run_process

_PERIOD = (
    100_000  # microseconds; the kernel's own default. Shorter ones cost more switches and stretch the slowest queries.
)
_JOIN = 'for group in $POCKETRANK_GROUPS; do echo $$ > "$group/cgroup.procs" || exit 125; done; exec "$@"'


@dataclass(frozen=True)
class Limits:
    """What a process may use."""

    cores: tuple[int, ...]
    share: float  # of the time of a core; 1 means no quota
    memory: int | None  # bytes
    threads: int = 1  # that compute: a quota is one sum for all cores, so it must not grow with idle ones

    @property
    def quota(self) -> float:
        """Cores' worth of time for the whole group."""
        return self.share * min(self.threads, len(self.cores))


class Group(Protocol):
    """A set of limits in force."""

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that starts `words` inside."""
        ...

    def observe(self) -> dict[str, float]:
        """Return what the kernel counted: `group_peak` in bytes, `oom_kill`."""
        ...


class Mechanism(Protocol):
    """A way of this kernel to limit a process."""

    name: str

    def group(self, limits: Limits) -> "contextlib.AbstractContextManager[Group]":
        """Put limits in force until the block ends."""
        ...


class _Files:
    """A group made of folders: one per controller (version 1), or a single one (version 2)."""

    def __init__(self, folders: Sequence[Path], peak: Sequence[str], events: str) -> None:
        self._folders, self._peak, self._events = folders, peak, events

    def command(self, words: Sequence[str]) -> list[str]:
        """Return a shell that joins the group and then becomes the command."""
        groups = " ".join(map(str, self._folders))
        return ["env", f"POCKETRANK_GROUPS={groups}", "sh", "-c", _JOIN, "sh", *words]

    def observe(self) -> dict[str, float]:
        """Read the counters that are there."""
        seen: dict[str, float] = {}
        for folder in self._folders:
            for name in self._peak:
                text = _read(folder / name).strip()
                if text.isdigit():
                    seen["group_peak"] = float(text)
            for line in _read(folder / self._events).splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    seen["oom_kill"] = float(value)
        return seen


class VersionOne:
    """cgroup v1: a folder in the hierarchy of each controller."""

    name = "cgroup v1"

    def __init__(self, hierarchies: Mapping[str, Path]) -> None:
        self._hierarchies = hierarchies

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Make the folders, write the limits, and remove the folders again."""
        settings: dict[str, dict[str, str]] = {"cpuset": {}, "cpu": {}, "memory": {}}
        parent = self._hierarchies.get("cpuset")
        if parent is not None:
            settings["cpuset"] = {"cpuset.cpus": _listed(limits.cores), "cpuset.mems": _read(parent / "cpuset.mems")}
        if limits.share < 1:
            quota = round(_PERIOD * limits.quota)
            settings["cpu"] = {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)}
        if limits.memory is not None:
            settings["memory"] = {
                "memory.limit_in_bytes": str(limits.memory),
                "memory.memsw.limit_in_bytes": str(limits.memory),  # no swap; absent where swap is not accounted
            }
        with contextlib.ExitStack() as stack:
            folders = []
            for controller, files in settings.items():
                if controller in self._hierarchies and files:
                    folder = stack.enter_context(_folder(self._hierarchies[controller]))
                    _write(folder, files, optional=("memory.memsw.limit_in_bytes",))
                    folders.append(folder)
            yield _Files(folders, ("memory.max_usage_in_bytes",), "memory.oom_control")


class VersionTwo:
    """cgroup v2: one folder."""

    name = "cgroup v2"

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Make the folder, write the limits, and remove the folder again."""
        files = {"cpuset.cpus": _listed(limits.cores)}
        if limits.share < 1:
            files["cpu.max"] = f"{round(_PERIOD * limits.quota)} {_PERIOD}"
        if limits.memory is not None:
            files |= {"memory.max": str(limits.memory), "memory.swap.max": "0"}
        with _folder(self._parent) as folder:
            _write(folder, files, optional=("cpuset.cpus", "memory.swap.max"))
            yield _Files([folder], ("memory.peak",), "memory.events")


class SystemdRun:
    """A transient scope: the way where systemd owns the hierarchy, and the only one without root."""

    name = "systemd-run"

    def __init__(self, user: bool) -> None:
        self._user = user

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Nothing to make: the scope lives as long as the command."""
        yield _Scope(self._user, limits)


class _Scope:
    def __init__(self, user: bool, limits: Limits) -> None:
        self._user, self._limits = user, limits

    def command(self, words: Sequence[str]) -> list[str]:
        """Return systemd-run with the limits as properties; cores by affinity, which needs no delegated controller."""
        properties = []
        if self._limits.memory is not None:
            properties += [f"MemoryMax={self._limits.memory}", "MemorySwapMax=0"]
        if self._limits.share < 1:
            properties.append(f"CPUQuota={self._limits.quota:.0%}")
        start = ["systemd-run", *(["--user"] if self._user else []), "--scope", "--quiet", "--collect"]
        options = [word for one in properties for word in ("-p", one)]
        return [*start, *options, "taskset", "-c", _listed(self._limits.cores), *words]

    def observe(self) -> dict[str, float]:
        """Return nothing: the scope and its counters are gone when the command ends."""
        return {}


class CgroupTarget(LocalTarget):
    """This machine, held to a board's limits."""

    kind = "cgroup"
    is_emulated = True

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._mechanism = find_mechanism()
        self._limits, clock = limits_of(profile)
        self.share = self._limits.share
        available = len(self._limits.cores)
        memory = f"{self._limits.memory} bytes" if self._limits.memory else "not limited: the profile names none"
        self.limits: Mapping[str, str] = {
            "mechanism": self._mechanism.name,
            "cores": f"{available} of the {profile.core_count} of the board" if profile.core_count else "not limited",
            "quota": f"{self.share:.0%} of each core ({clock})" if self.share < 1 else f"none ({clock})",
            "memory": memory,
        }

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run the script inside a group of its own, which is removed afterwards.

        The wall clock stops what the memory limit only slows down: a process that is short of memory may thrash for
        minutes before the kernel kills it.
        """
        words = [*self.command(), self.place(script), *arguments]
        limits = dataclasses.replace(self._limits, threads=_threads(request))
        with self._mechanism.group(limits) as group:
            ended = run_process(group.command(words), request, timeout, {**os.environ, **ENVIRONMENT})
            observed = group.observe()
        killed = observed.get("oom_kill", 0) > 0
        if killed:
            limit = self._limits.memory or 0
            return ended.completed("out of memory", observed, f"killed by the kernel at the limit of {limit:,} bytes")
        if ended.outcome == "out of memory" and "oom_kill" in observed:
            return ended.completed("failed", observed, "killed, but not for memory")
        return ended.completed(ended.outcome, observed)


def limits_of(profile: Profile) -> tuple[Limits, str]:
    """Return the limits that a profile asks for on this machine, and how the share came about."""
    usable = sorted(os.sched_getaffinity(0))
    cores = tuple(usable[: profile.core_count] if profile.core_count else usable)
    share, here = 1.0, host_megahertz()
    if not profile.cores or here is None:
        how = "clock of this machine unknown" if profile.cores else "the profile names no clock"
    else:
        wanted = profile.cores[0].megahertz
        share = min(wanted / here, 1.0)
        how = f"{wanted:,.0f} MHz over {here:,.0f} MHz"
    return Limits(cores, share, profile.memory.bytes if profile.memory else None), how


def host_megahertz() -> float | None:
    """Return the highest clock of this machine, or None where the kernel does not show it."""
    text = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")).strip()
    if text.isdigit():
        return int(text) / 1000
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("cpu MHz"):
            return float(line.partition(":")[2])
    return None


def find_mechanism(mounts: Path = Path("/proc/mounts"), systemd: Path = Path("/run/systemd/system")) -> Mechanism:
    """Return how processes can be limited here; raise `UnavailableError` when nothing is allowed to."""
    if systemd.is_dir() and shutil.which("systemd-run"):
        return SystemdRun(user=os.geteuid() != 0)
    hierarchies: dict[str, Path] = {}
    for line in _read(mounts).splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and _delegated(Path(place)):
            return VersionTwo(Path(place))
        if kind == "cgroup":
            for controller in set(options.split(",")) & {"cpu", "cpuset", "memory"}:
                if os.access(place, os.W_OK):
                    hierarchies[controller] = Path(place)
    if {"cpu", "memory"} <= set(hierarchies):
        return VersionOne(hierarchies)
    raise UnavailableError("this user may not limit processes here; run as root, or where systemd is the init system")


def _delegated(root: Path) -> bool:
    """Say whether groups below `root` can have limits, switching the controllers on when that is allowed."""
    offered = set(_read(root / "cgroup.controllers").split())
    if not {"cpu", "memory"} <= offered or not os.access(root, os.W_OK):
        return False
    with contextlib.suppress(OSError):
        for controller in sorted(offered & {"cpu", "cpuset", "memory"}):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
    return {"cpu", "memory"} <= set(_read(root / "cgroup.subtree_control").replace("+", " ").split())


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pocketrank-", dir=parent))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group; the kernel needs a moment after the last process has left."""
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.02)
    raise UnavailableError(f"{folder} cannot be removed; a process is still inside, end it and remove the folder")


def _write(folder: Path, files: Mapping[str, str], optional: Sequence[str]) -> None:
    for name, value in files.items():
        if name in optional and not (folder / name).exists():
            continue
        try:
            (folder / name).write_text(value)
        except OSError as error:
            raise UnavailableError(
                f"{folder / name} does not take {value.strip()!r} ({error.strerror}); use another device or machine"
            ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _threads(request: str) -> int:
    """Return the threads that a request to the worker asks for; other scripts have one."""
    try:
        asked = json.loads(request)
    except json.JSONDecodeError:
        return 1
    threads = asked.get("threads", 1) if isinstance(asked, dict) else 1
    return max(threads, 1) if isinstance(threads, int) else 1


def _listed(cores: Sequence[int]) -> str:
    return ",".join(map(str, cores))
