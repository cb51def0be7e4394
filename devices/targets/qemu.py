"""Run the ARM build under the exact processor model of a board, by qemu's user emulation.

This shows that a model runs there, computes the same vectors and how many instructions it takes. Seconds under
emulation have no relation to the board's, so they are never reported.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from ...runtime.errors import InputError
from ..emulation.setup import cache_folder, guest_command, guest_environment, read_setup, verify_setup
from ..profile import Core, Profile
from .base import ENVIRONMENT, ProcessResult, Target, run_process


class QemuTarget(Target):
    """An emulated ARM board, whose processes see the files of this machine."""

    kind = "qemu"
    has_wall_time = False
    is_emulated = True

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._core = profile.cores[0]
        if not self._core.qemu_cpu:
            raise InputError(f"{profile.name}: qemu has no model of {self._core.model}; choose another device")
        self._setup = read_setup()
        self._root = Path()
        self.counts_instructions = not self._setup.counter
        self.limits = {
            "processor": f"qemu-aarch64 {self._setup.qemu_version} -cpu {self._core.qemu_cpu}",
            "system": f"Debian packages for arm64, Python {self._setup.python}",
            "counter": self._setup.counter or "instructions of the process, by a plugin",
            "memory": "not limited; the emulator's own memory is included in every figure",
        }

    def __enter__(self) -> Self:
        """Check the emulated system and build the tree that its processes see as /."""
        verify_setup(self._setup)
        self._root = Path(tempfile.mkdtemp(prefix="pocketrank-qemu-"))
        for path in (cache_folder() / "root").iterdir():
            (self._root / path.name).symlink_to(path)
        show_processor(self._root, self._core)
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the tree; it holds links and the processor's description only."""
        shutil.rmtree(self._root, ignore_errors=True)

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run the script under emulation; `observed` holds the instructions between its two marks, when it set any."""
        folder = cache_folder()
        counts = self._root / "counts" if self.counts_instructions else None
        python = guest_command(self._setup, folder, self._root, self._core.qemu_cpu, counts)
        environment = {**guest_environment(folder), **ENVIRONMENT}
        result = run_process([*python, self.upload(script), *arguments], request, timeout, environment)
        return dataclasses.replace(result, observed=_between_marks(counts)) if counts else result


def _between_marks(counts: Path) -> dict[str, float]:
    """Return the instructions between the two marks; nothing when the script did not set exactly two."""
    try:
        lines = [line.split() for line in counts.read_text(encoding="ascii").splitlines()]
    except FileNotFoundError:
        return {}
    counts.unlink()
    marks = [int(line[1]) for line in lines if line[0] == "mark"]
    return {"instructions": marks[1] - marks[0]} if len(marks) == 2 else {}


# The usual caches of small ARM cores; nothing that is reported follows from them.
_CACHES = tuple(
    {
        "level": level,
        "type": kind,
        "size": size,
        "coherency_line_size": "64",
        "ways_of_associativity": associativity,
        "number_of_sets": sets,
    }
    for level, kind, size, associativity, sets in (
        ("1", "Data", "32K", "4", "128"),
        ("1", "Instruction", "32K", "4", "128"),
        ("2", "Unified", "512K", "16", "512"),
    )
)


def show_processor(root: Path, core: Core) -> None:
    """Describe the emulated processor in `root`'s /proc and /sys.

    qemu gives an emulated process the files below its root first. Without these, onnxruntime's processor detection
    reads the description of the x86 machine below and crashes (qemu 7.2).
    """
    everyone = f"0-{core.count - 1}" if core.count > 1 else "0"
    folder = "sys/devices/system/cpu"
    files = {"proc/cpuinfo": "\n".join(_described_core(core, number) for number in range(core.count)) + "\n"}
    files |= {f"{folder}/{name}": everyone for name in ("possible", "present", "online")}
    files[f"{folder}/kernel_max"] = "255"
    for number in range(core.count):
        own = f"{folder}/cpu{number}"
        files[f"{own}/cpufreq/cpuinfo_max_freq"] = f"{core.megahertz * 1000:.0f}"
        files[f"{own}/cpufreq/cpuinfo_min_freq"] = "600000"
        files |= {f"{own}/topology/{name}": "0" for name in ("physical_package_id", "cluster_id")}
        files |= {f"{own}/topology/{name}": str(number) for name in ("core_id", "thread_siblings_list")}
        shared = ("core_siblings_list", "package_cpus_list", "cluster_cpus_list")
        files |= {f"{own}/topology/{name}": everyone for name in shared}
        for index, cache in enumerate(_CACHES):
            values = {**cache, "shared_cpu_list": everyone if cache["level"] == "2" else str(number)}
            files |= {f"{own}/cache/index{index}/{name}": value for name, value in values.items()}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="ascii")


def _described_core(core: Core, number: int) -> str:
    facts = {
        "processor": number,
        "BogoMIPS": "108.00",
        "Features": " ".join(core.features),
        "CPU implementer": "0x41",
        "CPU architecture": 8,
        "CPU variant": "0x0",
        "CPU part": core.part,
        "CPU revision": 3,
    }
    return "".join(f"{key}\t: {value}\n" for key, value in facts.items())
