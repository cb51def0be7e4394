"""`[benchmark]` and `[gate]`: costs on devices, and the budget."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class BenchmarkSettings:
    """Where and how long the bundle is measured."""

    devices: tuple[str, ...] = key(
        ("host",),
        "Device profiles, with an emulation in front where one is wanted (`cgroup:NAME`, `qemu:NAME`), and boards "
        "(`ssh://USER@HOST`).",
        not_empty=True,
    )
    compare_teacher: bool = key(True, "Whether the teacher is measured too, interleaved with the bundle.")
    repetitions: int = key(7, "Fresh processes of each model.", "processes", minimum=1, maximum=100_000)
    min_seconds: float = key(1.0, "Timed region of a process, at least.", "seconds", minimum=0.0, maximum=1e6)
    min_queries: int = key(300, "Timed queries of a process, at least.", "queries", minimum=1, maximum=1_000_000_000)
    energy: Literal["auto", "rapl", "pmic", "ina219", "codecarbon", "profile-model", "none"] = key(
        "auto", "Source of energy figures; `auto`: the best that the device has."
    )


@dataclass(frozen=True)
class GateSettings:
    """The budget that the bundle is held to."""

    budget: str = key("", "Budget file (TOML); empty: no gate.")
    baseline: str = key(
        "",
        "The last release: its report or, for the budget's `[ranking]` limits too, the folder of its bundle; empty: "
        "none.",
    )
