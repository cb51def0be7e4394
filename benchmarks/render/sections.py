"""The drawn sections of the HTML report: quality, where time, memory and bytes go, sweeps and sustained runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ...runtime.units import format_quantity
from ..records.metrics import Measurement
from ..records.report import DeviceReport, Report
from . import charts
from .charts import Point, Row
from .html_cells import round_quantity, shipped, table, timed_device
from .markup import Markup, tag

_PHASES = ("interpreter", "import", "tokenizer", "session", "first")
_PHASE_NAMES = ("start of Python", "importing libraries", "opening the tokenizer", "opening the model", "first vector")
_MEMORY = ("interpreter_rss", "libraries_rss", "tokenizer_rss", "model_rss")
_MEMORY_NAMES = ("Python", "libraries", "tokenizer", "model and first query")
_SYSTEMS = {
    "asymmetric": "this bundle, teacher's documents",
    "symmetric": "this bundle, its own documents",
    "symmetric_int8": "its own documents, vectors in int8",
    "symmetric_binary": "its own documents, vectors in bits, ranked again",
    "symmetric_binary_unrescored": "its own documents, vectors in bits alone",
    "hybrid_asymmetric": "hybrid search, teacher's documents",
    "hybrid_symmetric": "hybrid search, its own documents",
    "hybrid_ranks": "with BM25, by ranks",
    "fusion_asymmetric": "with BM25, teacher's documents",
    "fusion_symmetric": "with BM25, its own documents",
    "teacher": "teacher",
    "fusion_teacher": "teacher with BM25",
    "bm25": "BM25",
}
_BASELINE = 3  # colour of what could be shipped instead
_SERIES = {"teacher": 2, "fusion_teacher": 2, "bm25": 5}  # colours; the bundle's own is 1


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


def quality_section(report: Report) -> Iterator[Markup]:
    """Yield ranking quality with intervals, and quality over bytes and over latency."""
    found = {one.metric.removeprefix("ndcg10_"): one for one in report.quality if one.metric.startswith("ndcg10_")}
    rows = [
        Row(label, (one.value,), one.low, one.high, _SERIES.get(name, 1))
        for name, label in _SYSTEMS.items()
        if (one := found.get(name)) is not None and one.value is not None
    ]
    baselines = _baselines(report)
    rows += [
        Row(name, (one.value,), one.low, one.high, _BASELINE)
        for name, one in baselines.items()
        if one.value is not None
    ]
    if not rows:
        return
    yield tag("h2", "Quality against bytes and latency")
    methods = tag("p", "nDCG@10 on held-out queries, with 95 % intervals over the queries.")
    chart = tag("div", tag("h3", "Ranking quality"), methods, charts.intervals(rows, "{:.2f}".format))
    panels = [tag("figure", chart, tag("div", _quality_table(report)), class_="panel wide")]
    for title, unit, measure in (
        ("Quality against shipped bytes", "B", _shipped_of(report)),
        ("Quality against latency", "s", _latency_of(report)),
    ):
        points = list(_points(report, found, measure))
        if unit == "B":
            points += _baseline_points(report, baselines)
        bm25 = found.get("bm25")
        levels = [("BM25", bm25.value)] if bm25 is not None and bm25.value is not None else []
        if points:
            chart = charts.scatter(
                points,
                "shipped bytes" if unit == "B" else f"median time of a query on {timed_device(report).device}",
                "nDCG@10",
                lambda value, unit=unit: round_quantity(value, unit),
                levels,
            )
            panels.append(
                tag("figure", tag("h3", title), tag("p", "Up and to the left is better."), chart, class_="panel")
            )
    yield tag("div", *panels, class_="panels")


def _points(report: Report, found: dict[str, Measurement], measure: Callable[[str], float | None]) -> Iterator[Point]:
    places = [(report.subject, "asymmetric", 1), (report.subject, "symmetric", 1), (report.reference, "teacher", 2)]
    for model, system, series in places:
        one, x = found.get(system), measure(model)
        if one is None or one.value is None or not x:
            continue
        label = {"asymmetric": f"{model}, teacher's documents", "symmetric": f"{model}, own documents"}.get(
            system, model
        )
        yield Point(label, x, one.value, one.low, one.high, series)


def _baselines(report: Report) -> dict[str, Measurement]:
    """Return nDCG@10 of what could be shipped instead, by a name for people."""
    found = {}
    for one in report.quality:
        if one.metric.startswith("baselines_") and one.metric.endswith("_ndcg10"):
            found[_rival_name(one.metric.removesuffix("_ndcg10"))] = one
    return found


def _rival_name(metric: str) -> str:
    return metric.removeprefix("baselines_").replace("_", " ")


def _baseline_points(report: Report, baselines: dict[str, Measurement]) -> Iterator[Point]:
    sizes = {_rival_name(one.metric.removesuffix("_bytes")): one.value for one in report.quality if one.unit == "B"}
    for name, one in baselines.items():
        size = sizes.get(name)
        if one.value is not None and size:
            yield Point(name, size, one.value, one.low, one.high, _BASELINE)


def _shipped_of(report: Report) -> Callable[[str], float | None]:
    sizes = {model.name: float(shipped(model)) for model in report.models}
    return lambda name: sizes.get(name)


def _latency_of(report: Report) -> Callable[[str], float | None]:
    device = timed_device(report)

    def latency(name: str) -> float | None:
        one = device.find("latency_p50", name)
        return one.value if one else None

    return latency


def time_section(report: Report) -> Iterator[Markup]:
    """Yield per device where a query, the cold start and the memory go, and every process as a dot."""
    panels = []
    for device in report.devices:
        panels += _device_panels(report, device)
    if panels:
        yield tag("h2", "Where the time and the memory go")
        yield tag("div", *panels, class_="panels")


def _device_panels(report: Report, device: DeviceReport) -> Iterator[Markup]:
    names = [model.name for model in report.models]

    def rows_of(metrics: Sequence[str]) -> list[Row]:
        found = [(name, [device.find(metric, name) for metric in metrics]) for name in names]
        return [
            Row(name, tuple(max(one.value or 0.0, 0.0) for one in values if one is not None))
            for name, values in found
            if all(one is not None and one.value is not None for one in values)
        ]

    seconds, size = (lambda value: format_quantity(value, "s")), (lambda value: format_quantity(value, "B"))
    queries = []
    for name in names:
        total, tokenizing = device.find("latency_p50", name), device.find("tokenize_p50", name)
        if total and tokenizing and total.value and tokenizing.value:
            queries.append(Row(name, (tokenizing.value, max(total.value - tokenizing.value, 0.0))))
    for title, text, rows, parts, shown in (
        ("One query", "Median time from text to vector.", queries, ("tokenization", "model"), seconds),
        (
            "Cold start",
            "From the start of the process to the first vector.",
            rows_of([f"cold_start_{p}" for p in _PHASES]),
            _PHASE_NAMES,
            seconds,
        ),
        ("Memory", "Resident memory by what brought it in.", rows_of(_MEMORY), _MEMORY_NAMES, size),
    ):
        if rows:
            content = [tag("h3", f"{title} on {device.device}"), tag("p", text), charts.legend(parts)]
            yield tag("figure", *content, charts.stacked_bars(rows, parts, shown), class_="panel")
    strips = []
    for index, name in enumerate(names, start=1):
        one = device.find("latency_p50", name)
        if one is not None and one.processes and min(one.processes) > 0:
            strips.append(Row(name, one.processes, series=min(index, 6)))
    if strips:
        text = "Median time of a query in each fresh process: the spread is the machine's noise."
        content = [tag("h3", f"Every process on {device.device}"), tag("p", text)]
        yield tag("figure", *content, charts.strips(strips, lambda value: round_quantity(value, "s")), class_="panel")


def bytes_section(parts: Sequence[BytesPart]) -> Iterator[Markup]:
    """Yield the parts of the shipped files; nothing without them."""
    if not parts:
        return
    total = sum(part.bytes for part in parts)
    yield tag("h2", "Where the bytes go")
    yield tag("p", f"The shipped files, {total:,} bytes in all. Every list adds up to its file.")
    rows = [
        [
            tag("th", part.name, *([tag("small", part.detail)] if part.detail else []), scope="row"),
            tag("td", part.file),
            tag("td", f"{part.bytes:,}", class_="n"),
            tag("td", f"{part.bytes / total:.1%}", class_="n"),
            tag("td", _bar(part.bytes / total)),
        ]
        for part in parts
    ]
    yield table(["part", "file", tag("th", "bytes", class_="n"), tag("th", "share", class_="n"), ""], rows)


def _bar(share: float) -> Markup:
    bar = tag("rect", x=0, y=3, width=max(share * 200, 0.5), height=10, rx=2, class_="f1")
    return tag("svg", bar, viewBox="0 0 200 16", width=200, height=16, aria_hidden="true", style="width:200px")


def sweep_section(report: Report) -> Iterator[Markup]:
    """Yield sweeps and sustained runs as lines; nothing where there were none."""
    panels = []
    titles = {"threads": "threads", "length": "tokens in the text", "batch": "texts in a batch"}
    for device in report.devices:
        for axis, title in titles.items():
            rows = []
            for model in report.models:
                points = [
                    (float(p.value), p.throughput) for p in device.sweeps if (p.model, p.axis) == (model.name, axis)
                ]
                points = [(x, y) for x, y in points if y is not None]
                if points:
                    rows.append((model.name, points))
            if rows:
                chart = charts.lines(rows, title, lambda value: format_quantity(value, "1/s"))
                content = [tag("h3", f"Texts a second on {device.device}"), charts.legend([name for name, _ in rows])]
                panels.append(tag("figure", *content, chart, class_="panel"))
        for run in device.sustained:
            points = [(window.start, window.throughput) for window in run.windows]
            if points:
                chart = charts.lines([(run.model, points)], "seconds", lambda value: format_quantity(value, "1/s"))
                content = [tag("h3", f"{run.model}, sustained on {device.device}"), tag("p", run.verdict)]
                panels.append(tag("figure", *content, chart, class_="panel"))
    if panels:
        yield tag("h2", "Sweeps and sustained runs")
        yield tag("div", *panels, class_="panels")


def _quality_table(report: Report) -> Markup:
    """Return every system with all its figures."""
    known = {one.metric: one for one in report.quality}
    columns = {"ndcg10": "nDCG@10", "mrr10": "MRR@10", "recall100": "Recall@100", "ndcg10_retention": "of teacher"}
    rows = []
    for name, label in _SYSTEMS.items():
        cells = [known.get(f"{metric}_{name}") for metric in columns]
        if any(cells):
            shown = [f"{one.value:.3f}" if one is not None and one.value is not None else "-" for one in cells]
            rows.append([tag("th", label, scope="row"), *(tag("td", text, class_="n") for text in shown)])
    for label, one in _baselines(report).items():
        start = one.metric.removesuffix("ndcg10")
        cells = [known.get(f"{start}{metric}") for metric in columns]
        shown = [f"{one.value:.3f}" if one is not None and one.value is not None else "-" for one in cells]
        rows.append([tag("th", label, scope="row"), *(tag("td", text, class_="n") for text in shown)])
    return table(["system", *(tag("th", title, class_="n") for title in columns.values())], rows)
