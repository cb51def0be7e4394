"""Limits on a process, and the kernel's control groups as folders of files that hold them to it."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import UnavailableError

# Microseconds; the kernel's own default. Shorter ones cost more switches and stretch the slowest queries.
PERIOD = 100_000
_JOIN = 'for group in $POCKETRANK_GROUPS; do echo $$ > "$group/cgroup.procs" || exit 125; done; exec "$@"'


@dataclass(frozen=True)
class Limits:
    """What a process may use."""

    cores: tuple[int, ...]
    cpu_quota: float  # share of the time of a core; 1 means no quota
    memory: int | None  # bytes
    threads: int = 1  # that compute: a quota is one sum for all cores, so it must not grow with idle ones

    @property
    def group_quota(self) -> float:
        """Cores' worth of time for the whole group."""
        return self.cpu_quota * min(self.threads, len(self.cores))

    @property
    def core_list(self) -> str:
        """The cores as the kernel and taskset read them, such as 0,1."""
        return ",".join(map(str, self.cores))


@dataclass(frozen=True)
class Group:
    """Limits in force."""

    prefix: Sequence[str]  # of a command that runs inside
    observe: Callable[[], dict[str, float]] = dict  # what the kernel counted: `group_peak` in bytes, `oom_kill`

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that starts `words` inside."""
        return [*self.prefix, *words]


def folder_group(folders: Sequence[Path], peak: str, events: str) -> Group:
    """Return the group that folders make up; `peak` and `events` name the files of its counters.

    Its commands start a shell that joins the group and then becomes the command.
    """

    def observe() -> dict[str, float]:
        counters: dict[str, float] = {}
        for folder in folders:
            text = read_kernel_file(folder / peak).strip()
            if text.isdigit():
                counters["group_peak"] = float(text)
            for line in read_kernel_file(folder / events).splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    counters["oom_kill"] = float(value)
        return counters

    return Group(["env", f"POCKETRANK_GROUPS={' '.join(map(str, folders))}", "sh", "-c", _JOIN, "sh"], observe)


@contextmanager
def group_folder(parent: Path, files: Mapping[str, str], optional: Sequence[str] = ()) -> Iterator[Path]:
    """Make a group below `parent`, write its limits, and remove it again; its name tells which process made it.

    Groups that killed runs left there are removed first. Files of `optional` are left out where the kernel does not
    have them. Raises `UnavailableError` for a limit that the kernel does not take, and for a group that a process
    refuses to leave.
    """
    _remove_stale(parent)
    folder = Path(tempfile.mkdtemp(prefix=own_prefix(), dir=parent))
    try:
        for name, value in files.items():
            if name not in optional or (folder / name).exists():
                _write(folder / name, value)
        yield folder
    finally:
        _remove(folder)


def own_prefix() -> str:
    """Return how the names of this process's groups begin."""
    return f"pocketrank-{os.getpid()}-"


def _remove_stale(parent: Path) -> None:
    """Remove empty groups whose maker is gone; one that still holds a process stays."""
    for folder in parent.glob("pocketrank-*"):
        maker = folder.name.split("-")[1]
        if not (maker.isdigit() and Path("/proc", maker).exists()):
            with suppress(OSError):
                folder.rmdir()


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise UnavailableError(
            f"{path} does not take {value.strip()!r} ({error.strerror}); use another device or machine"
        ) from None


def _remove(folder: Path) -> None:
    """Remove a group; the kernel needs a moment after the last process has left."""
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.02)
    raise UnavailableError(f"{folder} cannot be removed; a process is still inside, end it and remove the folder")


def read_kernel_file(path: Path) -> str:
    """Return what a file of the kernel says; nothing where it is not there or not to be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
