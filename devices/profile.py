"""Device profiles: what a board is, with the source of every fact. Facts that nobody documents are left out."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..runtime.errors import InputError
from ..runtime.files import read_toml
from ..runtime.schema import describe, did_you_mean, from_mapping

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Core:
    """One kind of core of a processor."""

    model: str  # such as Cortex-A53
    count: int = field(metadata=describe("cores of this kind", minimum=1, maximum=4096))
    megahertz: float = field(metadata=describe("highest clock", above=0, maximum=1e6))
    source: str  # where the figures are from
    qemu_cpu: str = ""  # the model that qemu knows for it; empty: none
    part: str = ""  # `CPU part` that Linux shows in /proc/cpuinfo
    # As Linux names them in /proc/cpuinfo: what the core model implies. Cryptography is optional on A53 and A72
    # and left out for boards without it. Shows an emulated process the machine that it expects; not a published fact.
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Power:
    """Power of the whole board."""

    idle_watts: float  # nothing running
    active_watts: float  # all cores busy
    source: str  # where the figures are from
    note: str = ""  # how it was measured

    def __post_init__(self) -> None:
        """Refuse figures that cannot be."""
        if not 0 < self.idle_watts < self.active_watts:
            raise ValueError("idle_watts must be positive and below active_watts")


@dataclass(frozen=True)
class Memory:
    """Memory of the board as it is sold, or as the common version is."""

    bytes: int = field(metadata=describe("size", minimum=1, maximum=2**50))
    source: str  # where the figure is from


@dataclass(frozen=True)
class Profile:
    """A board. `cores[0]` are the fastest ones, on which one query runs."""

    name: str  # name of the file
    title: str  # for people
    architecture: Literal["aarch64", "x86_64", "host"]  # of the processor; host: whatever this machine is
    soc: str = ""  # system on chip
    soc_source: str = ""  # where that is from
    cores: tuple[Core, ...] = ()  # by kind, the fastest first
    memory: Memory | None = None  # of the board
    power: Power | None = None  # of the whole board
    notes: str = ""  # for people

    @property
    def core_count(self) -> int:
        """Number of cores of all kinds; 0 when unknown."""
        return sum(core.count for core in self.cores)


def profile_names() -> list[str]:
    """Return the names of all profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_profile(name: str) -> Profile:
    """Return the profile `name`; an unknown name is refused with the nearest one."""
    if name not in profile_names():
        raise InputError(f"there is no device {name!r}; {did_you_mean(name, profile_names())}")
    return load_profile(FOLDER / f"{name}.toml")


def load_profile(path: Path) -> Profile:
    """Read a profile from a TOML file; its name is the file's."""
    mapping = read_toml(path)
    mapping.setdefault("name", path.stem)
    profile = from_mapping(Profile, mapping, str(path))
    if profile.name != path.stem:
        raise InputError(f"{path}: name = {profile.name!r} differs from the file's name; leave the key out")
    unsourced = [core.model for core in profile.cores if not core.source]
    if profile.power and not profile.power.source:
        unsourced.append("power")
    if unsourced:
        raise InputError(f"{path}: {', '.join(unsourced)} has an empty source; say where the figures are from")
    return profile


def facts(profile: Profile) -> dict[str, object]:
    """Return the profile as plain values, without what is unknown."""
    return {key: value for key, value in dataclasses.asdict(profile).items() if value not in (None, "", ())}
