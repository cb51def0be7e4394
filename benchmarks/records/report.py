"""`report.json`: everything that was measured, with the raw samples, in one strict and versioned format."""

import base64
import binascii
import dataclasses
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import is_object, read_json, sha256_bytes, write_json
from ...runtime.schema import from_mapping, to_mapping
from .metrics import Measurement

SCHEMA = "pocketrank-report"
VERSION = 2


@dataclass(frozen=True)
class ModelFacts:
    """A measured model: names, bytes and hashes, so that a report can be matched to files."""

    name: str  # by which runs and measurements name it
    # subject: what the report is about; reference: what ratios are relative to
    role: Literal["subject", "reference", "peer"]
    model_bytes: int  # size of the ONNX file, and of the file beside it with its weights where they are over 2 GB
    model_sha256: str  # of the ONNX file
    tokenizer_bytes: int  # size of tokenizer.json
    tokenizer_sha256: str  # of tokenizer.json
    max_length: int  # tokens that texts are cut at
    output: str = ""  # as asked for; empty: the worker chose

    def __post_init__(self) -> None:
        """Refuse sizes that no file has."""
        if min(self.model_bytes, self.tokenizer_bytes) < 1:
            raise ValueError(f"model_bytes and tokenizer_bytes of {self.name!r} must be at least 1; measure again")


@dataclass(frozen=True)
class TextFacts:
    """The texts that served as queries."""

    source: str  # in words
    count: int  # texts
    sha256: str  # of the texts
    mean_characters: float  # a text


@dataclass(frozen=True)
class Run:
    """One process: what it was, how it ended, and its raw samples (`unpack` reads the packed ones)."""

    model: str  # name of the model
    repetition: int  # from 0
    order: int  # place in the sequence of all processes on this device
    # how the process ended
    outcome: Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]
    detail: str = ""  # of a run that failed: why
    seconds: float = 0.0  # of the whole process, seen from outside
    phases: dict[str, float] = field(default_factory=dict)  # of the cold start, in seconds
    memory: dict[str, dict[str, int]] = field(default_factory=dict)  # bytes by phase and by kind: rss, pss, …
    peak_rss: int | None = None  # largest resident memory, in bytes
    count: int = 0  # timed queries
    wall: float = 0.0  # timed region in seconds
    cpu: float = 0.0  # processor time of the timed region in seconds
    mean_tokens: float = 0.0  # a query
    dimension: int = 0  # of the vectors
    output: str = ""  # name of the graph's output
    latency_ns: str = ""  # packed: nanoseconds of each query
    tokenize_ns: str = ""  # packed: nanoseconds of each tokenization
    # clock, temperature, load and throttling, before and after
    conditions: dict[str, Any] = field(default_factory=dict)
    energy: dict[str, Any] = field(default_factory=dict)  # raw readings of the energy source
    observed: dict[str, float] = field(default_factory=dict)  # from outside: instructions, oom_kill, group_peak

    def __post_init__(self) -> None:
        """Refuse what no process can have."""
        if min(self.repetition, self.order, self.count, self.seconds, self.wall, self.cpu, self.peak_rss or 0) < 0:
            raise ValueError("a count, a time or a size is negative; measure again")


@dataclass(frozen=True)
class GoldenReplay:
    """A bundle's golden texts, run on a device."""

    model: str  # name of the model
    passed: bool  # whether ids and vectors are those of the bundle
    texts: int  # golden texts
    same_ids: int  # texts with the same token ids
    tolerance: float  # of a coordinate
    detail: str  # in words
    difference: float | None = None  # largest |difference| of a coordinate


@dataclass(frozen=True)
class SweepPoint:
    """One value of one swept axis. Times are of one call of the model: of the whole batch where that is swept."""

    model: str  # name of the model
    axis: str  # threads, length (tokens) or batch (texts)
    value: int  # of the axis
    mean_tokens: float = 0.0  # a text
    latency_p50: float | None = None  # seconds of one call
    throughput: float | None = None  # texts per second
    throughput_low: float | None = None  # of the repetitions
    throughput_high: float | None = None  # of the repetitions
    peak_rss: float | None = None  # bytes
    instructions: float | None = None  # per text
    kind: str = ""  # as `Measurement.kind`
    reason: str = ""  # why there is no value


@dataclass(frozen=True)
class Window:
    """A stretch of a sustained run, and what the board said right after it."""

    start: float  # seconds since the beginning
    count: int  # queries
    throughput: float  # queries per second
    cpu_share: float  # processor time over wall time
    latency_p50: float  # seconds
    megahertz: float | None = None  # clock of the processor
    celsius: float | None = None  # temperature of the processor
    throttled: int | None = None  # flags of the board's firmware


@dataclass(frozen=True)
class Sustained:
    """A long run of one model."""

    model: str  # name of the model
    windows: tuple[Window, ...]  # in order
    verdict: str  # in words: whether the board slowed down
    change: float | None = None  # of the throughput, from the first to the last quarter


@dataclass(frozen=True)
class Calibration:
    """Noise of a device from A/A runs: standard deviations of logarithms, by metric."""

    pairs: int  # of processes
    between: dict[str, float]  # of one process
    paired: dict[str, float]  # of the ratio of two processes that followed each other


@dataclass(frozen=True)
class DeviceReport:
    """One device: what it is, every process that ran there, and what follows from them."""

    device: str  # name of the profile, or address of the board
    target: str  # local, cgroup, qemu, ssh, replay
    fingerprint: str  # hash of machine and libraries: values of two reports are comparable where it is the same
    machine: dict[str, Any]  # what the device says of itself
    profile: dict[str, Any]  # facts of the device profile
    limits: dict[str, str]  # how the emulation held the processes, in words
    runs: tuple[Run, ...]  # every process, in order
    measurements: tuple[Measurement, ...]  # what follows from the runs
    noise: dict[str, float] = field(default_factory=dict)  # relative standard deviation between processes, subject
    golden: tuple[GoldenReplay, ...] = ()  # of bundles
    overhead: tuple[Measurement, ...] = ()  # of the harness: an empty model through the same worker
    sweeps: tuple[SweepPoint, ...] = ()  # from `--sweep`
    sustained: tuple[Sustained, ...] = ()  # from `--sustained`
    calibration: Calibration | None = None  # from `pocketrank benchmark --calibrate`
    interrupted: bool = False  # somebody stopped it: fewer processes than the settings say

    def __post_init__(self) -> None:
        """Refuse values that no process on this device gave."""
        finished = {run.model for run in self.runs if run.outcome == "ok"}
        for row in self.measurements:
            if row.value is not None and row.model not in finished:
                raise ValueError(f"{row.metric} of {row.model!r}: no process among runs gave it; measure again")
            if row.device != self.fingerprint:
                here = f"device {row.device!r}, not {self.fingerprint!r}"
                raise ValueError(f"{row.metric} of {row.model!r} is from {here}; measure again")

    def why_unusable(self, model: str) -> str:
        """Return why the figures of a model on this device say nothing about a release, or nothing."""
        if self.interrupted:
            return f"measuring on {self.device} was interrupted"
        replay = next((replay for replay in self.golden if replay.model == model and not replay.passed), None)
        return f"{model} gives other vectors on {self.device}: {replay.detail}" if replay else ""

    def find(self, metric: str, model: str) -> Measurement | None:
        """Return the measurement of a metric for a model, if there is one."""
        matching = (row for row in self.measurements if row.metric == metric and row.model == model)
        return next(matching, None)


@dataclass(frozen=True)
class Unavailable:
    """A device that was asked for and could not be measured."""

    device: str  # as it was asked for
    reason: str  # in words


@dataclass(frozen=True)
class Report:
    """A whole report. The first model is the subject; the second one, when there is one, the reference of ratios."""

    schema: str  # name of this format
    version: int  # of this format
    code: str  # version of pocketrank
    subject: str  # name of the model that the report is about
    models: tuple[ModelFacts, ...]  # in the order of the command line
    texts: TextFacts  # the queries
    settings: dict[str, Any]  # how long and how often was measured
    devices: tuple[DeviceReport, ...]  # in the order of the command line
    bundle: tuple[Measurement, ...] = ()  # sizes of the subject's files
    quality: tuple[Measurement, ...] = ()  # ranking quality of the subject
    unavailable: tuple[Unavailable, ...] = ()  # devices without a measurement
    not_compared: str = ""  # why a reference that was asked for, such as the teacher, was not measured
    first_weights: str = ""  # where training began, and what each start spells of the vocabulary, in words
    quality_not_measured: str = ""  # why there are no figures of ranking quality, where that is known
    sha256: str = ""  # of all the rest, as JSON with sorted keys and no spaces; set when the report is written

    def __post_init__(self) -> None:
        """Refuse a report that is about nothing."""
        if self.subject not in [model.name for model in self.models]:
            raise ValueError(f"subject = {self.subject!r} is not among the models; measure again")

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
    content = {key: value for key, value in mapping.items() if key != "sha256"}
    if "sha256" not in mapping:
        raise InputError(f"{place} has no sha256 of its content: an older pocketrank wrote it; measure again")
    if mapping.get("sha256") != _content_hash(content):
        raise InputError(
            f"{place} was changed after it was written: its sha256 is not that of its content; take the file that "
            "`pocketrank benchmark … --out FILE` wrote, or measure again"
        )
    return from_mapping(Report, content, place)


def report_mapping(report: Report) -> dict[str, Any]:
    """Return what is written: the report with the hash of its content, by which a change by hand is noticed."""
    content = to_mapping(dataclasses.replace(report, sha256=""))
    del content["sha256"]
    return {**content, "sha256": _content_hash(content)}


def write_report(path: Path, report: Report) -> None:
    """Write a report, whole or not at all."""
    write_json(path, report_mapping(report))


def _content_hash(content: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii"))


def unpack(text: str) -> np.ndarray:
    """Return the whole numbers that the worker packed (deflated little-endian unsigned 64 bit, base64)."""
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype="<u8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(f"raw samples of the report are damaged ({error}); measure again") from None
