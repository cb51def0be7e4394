"""What the sections of the HTML report show: tiles, the devices side by side, and the charts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...runtime.units import format_quantity
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, Report
from .charts import Drawing, Point, Row, dot_rows, lines, scatter, stacked_bars
from .tables import shipped_bytes

_SIDE_BY_SIDE = (
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "throughput",
    "cpu_per_query",
    "instructions_per_query",
    "cold_start",
    "peak_rss",
    "peak_rss_added",
    "settled_pss",
    "energy_per_query",
)
_PHASES = {
    "cold_start_interpreter": "start of Python",
    "cold_start_import": "importing libraries",
    "cold_start_tokenizer": "opening the tokenizer",
    "cold_start_session": "opening the model",
    "cold_start_first": "first vector",
}
_MEMORY = {
    "interpreter_rss": "Python",
    "libraries_rss": "libraries",
    "tokenizer_rss": "tokenizer",
    "model_rss": "model and first query",
}
_SYSTEMS = {
    "asymmetric": "asymmetric",
    "symmetric": "symmetric",
    "symmetric_int8": "symmetric, int8 vectors",
    "symmetric_binary": "symmetric, binary vectors, rescored",
    "symmetric_binary_unrescored": "symmetric, binary vectors",
    "hybrid_asymmetric": "asymmetric, hybrid search",
    "hybrid_symmetric": "symmetric, hybrid search",
    "hybrid_ranks": "symmetric with BM25, rank fusion",
    "fusion_asymmetric": "asymmetric with BM25",
    "fusion_symmetric": "symmetric with BM25",
    "teacher": "teacher",
    "fusion_teacher": "teacher with BM25",
    "bm25": "BM25",
}
_COLOURS = {"teacher": 2, "fusion_teacher": 2, "bm25": 5}  # the bundle's own systems have colour 1
_BASELINE_COLOUR = 3
_QUALITY = {"ndcg10": "nDCG@10", "mrr10": "MRR@10", "recall100": "Recall@100", "ndcg10_retention": "retention"}
_SWEEPS = {"threads": "threads", "length": "tokens in the text", "batch": "texts in a batch"}


class BytesPart(Protocol):
    """A part of a shipped file, as `export` lists them."""

    @property
    def file(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Tile:
    """A figure that the page begins with."""

    name: str
    figure: str
    more: str


@dataclass(frozen=True)
class SideBySide:
    """Costs in a table: columns of (name, place), rows of (metric, meaning, cells)."""

    columns: list[tuple[str, str]]
    rows: list[tuple[str, str, list[Measurement | None]]]


@dataclass(frozen=True)
class Panel:
    """A chart with its title; `legend` names the colours in order."""

    title: str
    drawing: Drawing
    text: str = ""
    legend: Sequence[str] = ()


@dataclass(frozen=True)
class Quality:
    """Ranking quality: a chart of nDCG@10, a table of every system, and panels against bytes and latency."""

    drawing: Drawing
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    panels: list[Panel]


def tiles(report: Report) -> Iterator[Tile]:
    """Yield bytes, retention, and what a query costs on the first device that was timed."""
    models = {model.name: model for model in report.models}
    size, reference = shipped_bytes(models[report.subject]), models.get(report.reference)
    factor = shipped_bytes(reference) / size if reference else 1.0
    smaller = f"{factor:,.0f} times smaller than {reference.name}" if reference and factor >= 2 else ""
    yield Tile("shipped bytes", format_quantity(size, "B"), smaller or "model and tokenizer")
    figures = _by_metric(report)
    for mode in ("asymmetric", "symmetric"):
        retention = figures.get(f"ndcg10_retention_{mode}")
        if retention is not None and retention.value is not None:
            low, high = retention.low, retention.high
            bounds = f" ({low:.1%} … {high:.1%})" if low is not None and high is not None else ""
            yield Tile("nDCG@10 retention", f"{retention.value:.1%}", f"{mode}{bounds}")
    device = _timed_device(report)
    for metric, name in (
        ("latency_p50", "per query"),
        ("cold_start", "cold start"),
        ("peak_rss", "peak memory"),
        ("energy_per_query", "energy per query"),
    ):
        cost, other = device.find(metric, report.subject), device.find(metric, report.reference)
        if cost is not None and cost.value is not None:
            ratio = f", {cost.value / other.value:.1%} of {report.reference}" if other and other.value else ""
            kind = f", {cost.kind}" if cost.kind in ("estimated", "emulated") else ""
            yield Tile(name, format_quantity(cost.value, cost.unit), f"on {device.device}{ratio}{kind}")


def side_by_side(report: Report) -> SideBySide:
    """Return each model's costs on one device, or the subject's on several."""
    single = len(report.devices) == 1
    columns = [(device, model.name) for device in report.devices for model in report.models[: None if single else 1]]
    rows = []
    for metric in (*_SIDE_BY_SIDE, *(name for name in METRICS if name.endswith("_ratio"))):
        cells = [device.find(metric, model) for device, model in columns]
        if any(cell is not None and cell.value is not None for cell in cells):
            meaning = METRICS[metric].meaning.replace("the reference model", report.reference or "the reference")
            rows.append((metric.replace("_", " "), meaning, cells))
    heads = [(model if single else device.device, _place(device)) for device, model in columns]
    return SideBySide(heads, rows)


def quality(report: Report) -> Quality | None:
    """Return ranking quality with intervals, and quality over bytes and over latency; None when it is not known."""
    figures = _by_metric(report)
    systems = [(label, f"_{name}", "", _COLOURS.get(name, 1)) for name, label in _SYSTEMS.items()]
    systems += [(name, "", f"{prefix}_", _BASELINE_COLOUR) for name, prefix in _baselines(report).items()]
    dots, rows = [], []
    for label, suffix, prefix, colour in systems:
        cells = [figures.get(f"{prefix}{metric}{suffix}") for metric in _QUALITY]
        if any(cells):
            rows.append((label, ["-" if cell is None or cell.value is None else f"{cell.value:.3f}" for cell in cells]))
        if cells[0] is not None and cells[0].value is not None:
            dots.append(Row(label, (cells[0].value,), cells[0].low, cells[0].high, colour))
    if not dots:
        return None
    drawing = dot_rows(dots, "{:.2f}".format, "nDCG@10 with intervals")
    return Quality(drawing, list(_QUALITY.values()), rows, list(_quality_panels(report, figures)))


def _quality_panels(report: Report, figures: dict[str, Measurement]) -> Iterator[Panel]:
    device = _timed_device(report)
    sizes = {model.name: float(shipped_bytes(model)) for model in report.models}
    times = {model.name: cost.value for model in report.models if (cost := device.find("latency_p50", model.name))}
    baselines = []
    for name, prefix in _baselines(report).items():
        size, ndcg = figures.get(f"{prefix}_bytes"), figures[f"{prefix}_ndcg10"]
        if size is not None and size.value and ndcg.value is not None:
            baselines.append(Point(name, size.value, ndcg.value, ndcg.low, ndcg.high, _BASELINE_COLOUR))
    bm25 = figures.get("ndcg10_bm25")
    levels = [("BM25", bm25.value)] if bm25 is not None and bm25.value is not None else []
    for title, x_title, unit, values, more in (
        ("Quality against shipped bytes", "shipped bytes", "B", sizes, baselines),
        ("Quality against latency", f"median time of a query on {device.device}", "s", times, []),
    ):
        points = [*_points(report, figures, values), *more]
        if points:
            drawing = scatter(points, x_title, "nDCG@10", _rounded(unit), levels)
            yield Panel(title, drawing, "Up and to the left is better.")


def _points(
    report: Report, figures: dict[str, Measurement], values: dict[str, float] | dict[str, float | None]
) -> Iterator[Point]:
    subject, reference = report.subject, report.reference
    for model, system, label in (
        (subject, "asymmetric", f"{subject}, asymmetric"),
        (subject, "symmetric", f"{subject}, symmetric"),
        (reference, "teacher", reference),
    ):
        ndcg, x = figures.get(f"ndcg10_{system}"), values.get(model)
        if ndcg is not None and ndcg.value is not None and x:
            yield Point(label, x, ndcg.value, ndcg.low, ndcg.high, _COLOURS.get(system, 1))


def costs(report: Report) -> list[Panel]:
    """Return for each device where a query, the cold start and the memory go, and every process as a dot."""
    return [panel for device in report.devices for panel in _cost_panels(report, device)]


def _cost_panels(report: Report, device: DeviceReport) -> Iterator[Panel]:
    names = [model.name for model in report.models]
    queries = []
    for name in names:
        total, tokenizing = device.find("latency_p50", name), device.find("tokenize_p50", name)
        if total and tokenizing and total.value and tokenizing.value:
            queries.append(Row(name, (tokenizing.value, max(total.value - tokenizing.value, 0.0))))
    for title, text, rows, legend, unit in (
        ("One query", "Median time from text to vector.", queries, ("tokenization", "model"), "s"),
        ("Cold start", "From the start of the process to the first vector.", *_stacks(device, names, _PHASES), "s"),
        ("Memory", "Resident memory by what brought it in.", *_stacks(device, names, _MEMORY), "B"),
    ):
        if rows:
            drawing = stacked_bars(rows, legend, lambda value, unit=unit: format_quantity(value, unit))
            yield Panel(f"{title} on {device.device}", drawing, text, legend)
    dots = []
    for colour, name in enumerate(names, start=1):
        latency = device.find("latency_p50", name)
        if latency is not None and latency.processes and min(latency.processes) > 0:
            dots.append(Row(name, latency.processes, colour=min(colour, 6)))
    if dots:
        text = "Median time of a query in each fresh process: the spread is the machine's noise."
        drawing = dot_rows(dots, _rounded("s"), "every process", logarithmic=True)
        yield Panel(f"Every process on {device.device}", drawing, text)


def _stacks(device: DeviceReport, models: Sequence[str], metrics: dict[str, str]) -> tuple[list[Row], tuple[str, ...]]:
    """Return a stack for each model that has all parts, and the names of the parts."""
    rows = []
    for name in models:
        parts = [part for metric in metrics if (part := device.find(metric, name)) and part.value is not None]
        if len(parts) == len(metrics):
            rows.append(Row(name, tuple(max(part.value or 0.0, 0.0) for part in parts)))
    return rows, tuple(metrics.values())


def loads(report: Report) -> list[Panel]:
    """Return sweeps and sustained runs as lines."""
    return [panel for device in report.devices for panel in (*_sweeps(report, device), *_sustained(device))]


def _sweeps(report: Report, device: DeviceReport) -> Iterator[Panel]:
    for axis, title in _SWEEPS.items():
        series = []
        for model in report.models:
            points = [point for point in device.sweeps if (point.model, point.axis) == (model.name, axis)]
            values = [(float(point.value), point.throughput) for point in points if point.throughput is not None]
            if values:
                series.append((model.name, values))
        if series:
            drawing = lines(series, title, _per_second)
            yield Panel(f"Texts per second on {device.device}", drawing, legend=[name for name, _ in series])


def _sustained(device: DeviceReport) -> Iterator[Panel]:
    for run in device.sustained:
        values = [(window.start, window.throughput) for window in run.windows]
        if values:
            drawing = lines([(run.model, values)], "seconds", _per_second)
            yield Panel(f"{run.model}, sustained on {device.device}", drawing, run.verdict)


def machine_facts(device: DeviceReport) -> list[str]:
    """Return what is known about the machine, its libraries and the limits of its emulation."""
    machine = device.machine
    keys = ("cpu", "board", "architecture", "cores", "kernel", "python")
    facts = [f"{key}: {machine[key]}" for key in keys if key in machine]
    facts += [f"{name} {version}" for name, version in machine.get("libraries", {}).items()]
    return facts + [f"{name}: {value}" for name, value in device.limits.items()]


def _place(device: DeviceReport) -> str:
    machine = device.machine
    name = machine.get("board") or machine.get("cpu") or device.profile.get("title") or device.target
    return f"{device.target}, {name}"


def _by_metric(report: Report) -> dict[str, Measurement]:
    return {measurement.metric: measurement for measurement in report.quality}


def _baselines(report: Report) -> dict[str, str]:
    """Return what could be shipped instead: a name for people, and how its metrics begin."""
    metrics = [measurement.metric for measurement in report.quality]
    prefixes = [
        metric.removesuffix("_ndcg10")
        for metric in metrics
        if metric.startswith("baselines_") and metric.endswith("_ndcg10")
    ]
    return {prefix.removeprefix("baselines_").replace("_", " "): prefix for prefix in prefixes}


def _timed_device(report: Report) -> DeviceReport:
    """Return the first device that has a latency, else the first."""
    for device in report.devices:
        latency = device.find("latency_p50", report.subject)
        if latency is not None and latency.value is not None:
            return device
    return report.devices[0]


def _per_second(value: float) -> str:
    return format_quantity(value, "1/s")


def _rounded(unit: str) -> Callable[[float], str]:
    """Return a format for ticks: round numbers without trailing zeros, 10 ms rather than 10.0 ms."""

    def shown(value: float) -> str:
        number, _, name = format_quantity(value, unit).partition(" ")
        return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {name}".strip()

    return shown
