"""`report.json`: everything that was measured, with the raw samples, in one strict and versioned format."""

import base64
import binascii
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import is_object, read_json, write_json
from ...runtime.schema import from_mapping, to_mapping
from .metrics import Measurement

SCHEMA = "pocketrank-report"
VERSION = 2


@dataclass(frozen=True)
class ModelFacts:
    """A measured model: names, bytes and hashes, so that a report can be matched to files."""

    name: str
    role: Literal["subject", "reference", "peer"]
    model_bytes: int
    model_sha256: str
    tokenizer_bytes: int
    tokenizer_sha256: str
    max_length: int
    output: str = ""  # as asked for; empty: the worker chose


@dataclass(frozen=True)
class TextFacts:
    """The texts that served as queries."""

    source: str
    count: int
    sha256: str
    mean_characters: float


@dataclass(frozen=True)
class Run:
    """One process: what it was, how it ended, and its raw samples (`unpack` reads the packed ones)."""

    model: str
    repetition: int
    order: int  # place in the sequence of all processes on this device
    outcome: Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]
    detail: str = ""
    seconds: float = 0.0  # of the whole process, seen from outside
    phases: dict[str, float] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    peak_rss: int | None = None
    count: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    mean_tokens: float = 0.0
    dimension: int = 0
    output: str = ""
    latency_ns: str = ""
    tokenize_ns: str = ""
    conditions: dict[str, Any] = field(default_factory=dict)
    energy: dict[str, Any] = field(default_factory=dict)
    observed: dict[str, float] = field(default_factory=dict)  # from outside: instructions, oom_kill, group_peak


@dataclass(frozen=True)
class GoldenReplay:
    """A bundle's golden texts, run on a device."""

    model: str
    passed: bool
    texts: int
    same_ids: int
    tolerance: float
    detail: str
    difference: float | None = None  # largest |difference| of a coordinate


@dataclass(frozen=True)
class SweepPoint:
    """One value of one swept axis. Times are of one call of the model: of the whole batch where that is swept."""

    model: str
    axis: str  # threads, length (tokens) or batch (texts)
    value: int
    mean_tokens: float = 0.0
    latency_p50: float | None = None
    throughput: float | None = None  # texts per second
    throughput_low: float | None = None
    throughput_high: float | None = None
    peak_rss: float | None = None
    instructions: float | None = None  # per text
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Window:
    """A stretch of a sustained run, and what the board said right after it."""

    start: float  # seconds since the beginning
    count: int
    throughput: float
    cpu_share: float
    latency_p50: float
    megahertz: float | None = None
    celsius: float | None = None
    throttled: int | None = None


@dataclass(frozen=True)
class Sustained:
    """A long run of one model."""

    model: str
    windows: tuple[Window, ...]
    verdict: str
    change: float | None = None  # of the throughput, from the first to the last quarter


@dataclass(frozen=True)
class Calibration:
    """Noise of a device from A/A runs: standard deviations of logarithms, by metric."""

    pairs: int
    between: dict[str, float]  # of one process
    paired: dict[str, float]  # of the ratio of two processes that followed each other


@dataclass(frozen=True)
class DeviceReport:
    """One device: what it is, every process that ran there, and what follows from them."""

    device: str  # name of the profile, or address of the board
    target: str  # local, cgroup, qemu, ssh, replay
    fingerprint: str
    machine: dict[str, Any]
    profile: dict[str, Any]
    limits: dict[str, str]
    runs: tuple[Run, ...]
    measurements: tuple[Measurement, ...]
    noise: dict[str, float] = field(default_factory=dict)  # relative standard deviation between processes, subject
    golden: tuple[GoldenReplay, ...] = ()
    overhead: tuple[Measurement, ...] = ()  # of the harness: an empty model through the same worker
    sweeps: tuple[SweepPoint, ...] = ()
    sustained: tuple[Sustained, ...] = ()
    calibration: Calibration | None = None  # from `pocketrank benchmark --calibrate`
    interrupted: bool = False  # somebody stopped it: fewer processes than the settings say

    def find(self, metric: str, model: str) -> Measurement | None:
        """Return the measurement of a metric for a model, if there is one."""
        matching = (row for row in self.measurements if row.metric == metric and row.model == model)
        return next(matching, None)


@dataclass(frozen=True)
class Unavailable:
    """A device that was asked for and could not be measured."""

    device: str
    reason: str


@dataclass(frozen=True)
class Report:
    """A whole report. The first model is the subject; the second one, when there is one, the reference of ratios."""

    schema: str
    version: int
    code: str  # version of pocketrank
    subject: str
    models: tuple[ModelFacts, ...]
    texts: TextFacts
    settings: dict[str, Any]
    devices: tuple[DeviceReport, ...]
    bundle: tuple[Measurement, ...] = ()
    quality: tuple[Measurement, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()

    @property
    def reference(self) -> str:
        """Name of the model that ratios are against; empty when the subject ran alone."""
        return next((model.name for model in self.models if model.role == "reference"), "")


def read_report(path: Path) -> Report:
    """Read a report; refuse other files and other versions of the format with what to do about it."""
    return report_from(read_json(path), str(path))


def report_from(mapping: object, place: str) -> Report:
    """Return the report that parsed JSON holds; `place` is where it is from, for messages."""
    if not is_object(mapping) or mapping.get("schema") != SCHEMA:
        raise InputError(f"{place} is not a benchmark report; make one with `pocketrank benchmark … --out FILE`")
    if mapping.get("version") != VERSION:
        raise InputError(
            f"{place} has report version {mapping.get('version')!r}, this pocketrank reads version {VERSION}; "
            "measure again, or use the pocketrank that wrote it"
        )
    return from_mapping(Report, mapping, place)


def write_report(path: Path, report: Report) -> None:
    """Write a report, whole or not at all."""
    write_json(path, to_mapping(report))


def unpack(text: str) -> np.ndarray:
    """Return the whole numbers that the worker packed (deflated little-endian unsigned 64 bit, base64)."""
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype="<u8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(f"raw samples of the report are damaged ({error}); measure again") from None
