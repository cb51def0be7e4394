"""What is measured: the metrics, their units and directions, and the record of one measurement."""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Literal

# How a value came about. Only `measured` and `counted` values can satisfy a limit, unless the limit says otherwise:
#   measured   a clock or counter on the device itself
#   counted    exact by nature: bytes of a file, instructions of an emulated processor
#   estimated  computed from assumptions
#   emulated   measured, but on a machine that only emulates the device
Kind = Literal["measured", "counted", "estimated", "emulated"]


@dataclass(frozen=True)
class Metric:
    """One quantity that a report can hold and a budget can limit."""

    name: str
    unit: str  # s, B, J, 1/s, instructions, or 1 for shares and ratios
    better: Literal["lower", "higher"]
    section: Literal["bundle", "quality", "device", "ranking"]
    meaning: str
    help: str = ""  # what would bring a broken limit back
    minimum: float = 0.0  # no measurement is below
    maximum: float = math.inf  # or above

    @property
    def range_words(self) -> str:
        """The values that this metric can have, in words."""
        words = [f"at least {self.minimum:g}"] if math.isfinite(self.minimum) else []
        words += [f"at most {self.maximum:g}"] if math.isfinite(self.maximum) else []
        return " and ".join(words) or "any finite number"

    def takes(self, value: float) -> bool:
        """Tell whether the metric can have this value."""
        return math.isfinite(value) and self.minimum <= value <= self.maximum

    @property
    def timing(self) -> bool:
        """Whether the value depends on what else the machine did: worth a second run before it fails a release."""
        return self.unit in ("s", "1/s", "J") or self.name.endswith("_time_ratio") or self.name in _TIME_RATIOS


_TIME_RATIOS = ("latency_p50_ratio", "latency_p95_ratio", "cpu_ratio", "cold_start_ratio", "energy_ratio")

_FASTER = "fewer or narrower layers, shorter texts, or a vocabulary that needs fewer tokens per query"
_STAY = "see the queries that changed most in the report; `teacher.space` keeps the last release's vector space"
_SMALLER = "see `pocketrank inspect`: a smaller vocabulary, fewer bits for the table, a narrower model"

METRICS = {
    metric.name: metric
    for metric in (
        Metric("shipped_bytes", "B", "lower", "bundle", "default ONNX file and tokenizer.json", _SMALLER),
        Metric("model_bytes", "B", "lower", "bundle", "default ONNX file", _SMALLER),
        Metric("tokenizer_bytes", "B", "lower", "bundle", "tokenizer.json", "a smaller vocabulary"),
        Metric("folder_bytes", "B", "lower", "bundle", "all files of the bundle", "leave variants out"),
        Metric("latency_p50", "s", "lower", "device", "median time from text to vector", _FASTER),
        Metric("latency_p95", "s", "lower", "device", "95th percentile of the time from text to vector", _FASTER),
        Metric("latency_p99", "s", "lower", "device", "99th percentile of the time from text to vector", _FASTER),
        Metric("tokenize_p50", "s", "lower", "device", "median time of tokenization alone", "a simpler normalizer"),
        Metric("throughput", "1/s", "higher", "device", "queries per second, one after the other", _FASTER),
        Metric("cpu_per_query", "s", "lower", "device", "processor time of one query", _FASTER),
        Metric("cold_start", "s", "lower", "device", "start of the process to the first vector", "a smaller model"),
        Metric("cold_start_interpreter", "s", "lower", "device", "… of which: start of Python"),
        Metric("cold_start_import", "s", "lower", "device", "… of which: importing numpy, tokenizers, onnxruntime"),
        Metric("cold_start_tokenizer", "s", "lower", "device", "… of which: opening the tokenizer"),
        Metric("cold_start_session", "s", "lower", "device", "… of which: opening the model"),
        Metric("cold_start_first", "s", "lower", "device", "… of which: the first vector"),
        Metric("peak_rss", "B", "lower", "device", "largest resident memory of the process", _SMALLER),
        Metric(
            "peak_rss_added",
            "B",
            "lower",
            "device",
            "peak minus interpreter and libraries",
            _SMALLER,
            minimum=-math.inf,
        ),
        Metric("settled_rss", "B", "lower", "device", "resident memory after the queries", _SMALLER),
        Metric("settled_pss", "B", "lower", "device", "the same, shared pages divided among their users", _SMALLER),
        Metric("interpreter_rss", "B", "lower", "device", "resident memory of Python and the worker alone"),
        Metric("libraries_rss", "B", "lower", "device", "… added by importing the libraries", minimum=-math.inf),
        Metric(
            "tokenizer_rss",
            "B",
            "lower",
            "device",
            "… added by the tokenizer",
            "a smaller vocabulary",
            minimum=-math.inf,
        ),
        Metric(
            "model_rss", "B", "lower", "device", "… added by the model and its first query", _SMALLER, minimum=-math.inf
        ),
        Metric("energy_per_query", "J", "lower", "device", "energy of one query above idle", _FASTER),
        Metric("instructions_per_query", "instructions", "lower", "device", "processor instructions", _FASTER),
        Metric("golden_difference", "1", "lower", "device", "largest difference from the golden vectors"),
        Metric("latency_p50_ratio", "1", "lower", "device", "latency_p50 over that of the reference model", _FASTER),
        Metric("latency_p95_ratio", "1", "lower", "device", "latency_p95 over that of the reference model", _FASTER),
        Metric("cpu_ratio", "1", "lower", "device", "cpu_per_query over that of the reference model", _FASTER),
        Metric("cold_start_ratio", "1", "lower", "device", "cold_start over that of the reference model", _SMALLER),
        Metric("peak_rss_ratio", "1", "lower", "device", "peak_rss over that of the reference model", _SMALLER),
        Metric("energy_ratio", "1", "lower", "device", "energy_per_query over that of the reference model", _FASTER),
        Metric(
            "overlap10_min",
            "1",
            "higher",
            "ranking",
            "mean share of the ten best documents that are among the ten best of the last release",
            _STAY,
            maximum=1.0,
        ),
        Metric(
            "changed_top1_max",
            "1",
            "lower",
            "ranking",
            "share of the queries whose first document is another than with the last release",
            _STAY,
            maximum=1.0,
        ),
    )
}

# Quality figures have free names; a part of the name says what the figure is. The first pattern that fits counts.
_LONGER = "train longer, or a larger student"
_QUALITY = {
    "_max$|difference|change": Metric("", "1", "lower", "quality", "", _LONGER),
    "_bytes$": Metric("", "B", "lower", "quality", "", _LONGER),
    "retention": Metric("", "1", "higher", "quality", "", _LONGER),  # a student may rank better than its teacher
    "cosine": Metric("", "1", "higher", "quality", "", _LONGER, minimum=-1.0, maximum=1.0),
    "ndcg|mrr|recall": Metric("", "1", "higher", "quality", "", _LONGER, maximum=1.0),
    "": Metric("", "1", "higher", "quality", "", _LONGER, minimum=-math.inf),
}


def metric_of(name: str) -> Metric:
    """Return the metric of that name; a name that is not among `METRICS` is a quality figure."""
    if name in METRICS:
        return METRICS[name]
    metric = next(metric for pattern, metric in _QUALITY.items() if re.search(pattern, name))
    return dataclasses.replace(metric, name=name)


# Ratios within one run hold on a machine whose speed nobody knows: the models are interleaved.
RATIOS = {
    "latency_p50_ratio": "latency_p50",
    "latency_p95_ratio": "latency_p95",
    "cpu_ratio": "cpu_per_query",
    "cold_start_ratio": "cold_start",
    "peak_rss_ratio": "peak_rss",
    "energy_ratio": "energy_per_query",
}


@dataclass(frozen=True)
class Measurement:
    """One value with all that is needed to judge it. `value` is absent when it could not be had; `reason` says why."""

    metric: str  # its name
    unit: str  # as `Metric.unit`
    kind: Kind  # how the value came about
    method: str  # in words
    value: float | None = None  # in the unit
    model: str = ""  # name of the model; empty for files
    device: str = ""  # fingerprint of the machine
    count: int = 0  # samples
    low: float | None = None  # lower end of the interval
    high: float | None = None  # upper end of the interval
    level: float | None = None  # of the interval
    stability: str = "stable"  # stable, or why the timing is not
    source: str = ""  # of energy figures
    details: dict[str, float] = field(default_factory=dict)  # of energy: idle_watts, window_seconds, rate_hertz
    reason: str = ""  # why there is no value
    processes: tuple[float, ...] = ()  # the value in each repetition, in order

    def __post_init__(self) -> None:
        """Refuse what is no measurement; raises `ValueError`."""
        metric, value = metric_of(self.metric), self.value
        if self.unit != metric.unit:
            raise ValueError(f"{self.metric}: unit = {self.unit!r}, it is measured in {metric.unit!r}; measure again")
        if value is None:
            return
        if not metric.takes(value):
            raise ValueError(f"{self.metric}: value = {value!r} must be {metric.range_words}; measure again")
        if self.count < 1:
            raise ValueError(f"{self.metric}: count = {self.count}, a value needs at least one sample; measure again")
        # A mean of equal numbers may differ from them in its last digit.
        slack = 1e-9 * abs(value)
        for name, bound, sign in (("low", self.low, 1), ("high", self.high, -1)):
            if bound is not None and not sign * (bound - value) <= slack:
                raise ValueError(
                    f"{self.metric}: value = {value!r} is outside of its own {name} = {bound!r}; measure again"
                )
