"""Reports and verdicts as tables: rows for the terminal, and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.progress import visible
from ...runtime.units import format_interval, format_quantity
from ..gate.judge import Verdict
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, ModelFacts, Report, SweepPoint

# The lines of the short table, in order.
_SHORT = (
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "throughput",
    "cpu_per_query",
    "instructions_per_query",
    "cold_start",
    "peak_rss",
    "tokenizer_rss",
    "model_rss",
    "energy_per_query",
)
_OVERHEAD = {
    "latency_p50": "one query through the harness, with an empty model",
    "instructions_per_query": "one query through the harness, with an empty model",
    "cpu_per_query": "processor time of it",
    "cold_start_import": "importing numpy, tokenizers and onnxruntime",
    "interpreter_rss": "memory of Python and the worker",
    "libraries_rss": "memory that the libraries add",
}
_MARKS = {"pass": "pass", "fail": "FAIL", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class Table:
    """A table before it is drawn; the first column holds labels."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def device_table(report: Report, device: DeviceReport) -> Table:
    """Return the short table of one device: a line a metric, a column a model."""
    names = [model.name for model in report.models]
    rows = [["shipped bytes", *(format_quantity(shipped_bytes(model), "B") for model in report.models)]]
    for metric in _SHORT:
        cells = [device.find(metric, name) for name in names]
        if any(cell is not None and (cell.value is not None or cell.reason) for cell in cells):
            rows.append([metric, *(_cell(cell) for cell in cells)])
    for metric in METRICS:
        cells = [device.find(metric, name) for name in names]
        if metric.endswith("_ratio") and any(cells):
            rows.append([f"{metric} to {report.reference}", *(_cell(cell) for cell in cells)])
    return Table(f"{device.device} ({device.target}, {_machine(device)})", ["", *names], rows, _note(report, device))


def comparison_table(report: Report, title: str) -> Table:
    """Return what a release manager asks first: the reference model, the subject, and their ratio.

    Quality and bytes come first, then the first device's costs.
    """
    subject, reference = report.subject, report.reference
    device = report.devices[0]
    quality = {measurement.metric: measurement for measurement in report.quality}
    teacher_quality = quality.get("ndcg10_teacher")
    rows = [_shipped_row(report, reference, subject)]
    for mode in ("asymmetric", "symmetric"):
        ndcg = quality.get(f"ndcg10_{mode}")
        rows.append([f"nDCG@10, {mode}", _plain(teacher_quality), _plain(ndcg), _percent(ndcg, teacher_quality)])
    for metric, label in (
        ("latency_p50", "p50 latency, text to vector"),
        ("cold_start", "cold start"),
        ("peak_rss", "peak RSS"),
        ("energy_per_query", "energy per query"),
    ):
        old, new = device.find(metric, reference), device.find(metric, subject)
        rows.append([label, _plain(old), _plain(new), _percent(new, old)])
    columns = ["", reference or "teacher", subject, f"{subject} / {reference}" if reference else "ratio"]
    note = f"{_note(report, device)} Symmetric: documents encoded by the student; asymmetric: by the teacher."
    return Table(f"{title} on {device.device} ({_machine(device)})", columns, rows, note)


def shipped_bytes(model: ModelFacts) -> int:
    """Return the bytes of a model's file and its tokenizer."""
    return model.model_bytes + model.tokenizer_bytes


def _shipped_row(report: Report, reference: str, subject: str) -> list[str]:
    sizes = {model.name: shipped_bytes(model) for model in report.models}
    ratio = f"{sizes[subject] / sizes[reference]:.1%}" if reference in sizes else "-"
    cells = [format_quantity(sizes.get(name), "B") if name in sizes else "-" for name in (reference, subject)]
    return ["shipped bytes (model + tokenizer)", *cells, ratio]


def format_figure(value: float | None, unit: str) -> str:
    """Return a value for people: ratios and quality with four digits, quantities with three and their unit."""
    return f"{value:.4f}" if unit == "1" and value is not None else format_quantity(value, unit)


def format_bounds(measurement: Measurement) -> str:
    """Return the interval for people, or nothing where there is none or it is a single number."""
    low, high = measurement.low, measurement.high
    return format_interval(low, high, measurement.unit) if low != high else ""


def _plain(measurement: Measurement | None) -> str:
    if measurement is None or measurement.value is None:
        return "-"
    return format_figure(measurement.value, measurement.unit) + _mark(measurement)


def _cell(measurement: Measurement | None) -> str:
    if measurement is None or measurement.value is None:
        return "-"
    bounds = format_bounds(measurement)
    shown = format_quantity(measurement.value, measurement.unit) + _mark(measurement)
    return shown + (f" [{bounds}]" if bounds else "")


def _mark(measurement: Measurement) -> str:
    return f" ({measurement.kind})" if measurement.kind in ("estimated", "emulated") else ""


def _percent(new: Measurement | None, old: Measurement | None) -> str:
    if new is None or old is None or new.value is None or not old.value:
        return "-"
    return f"{new.value / old.value:.1%}"


def verdict_table(verdict: Verdict) -> Table:
    """Return the checks of a verdict, a line each."""
    rows = []
    for check in verdict.checks:
        where = f"{check.device}: " if check.device else ""
        advice = f"; what would help: {check.advice}" if check.advice and check.outcome != "pass" else ""
        rows.append([f"{where}{check.metric}", _MARKS[check.outcome], f"{check.reason}{advice}", check.place])
    note = f"verdict: {verdict.verdict}"
    return Table(f"gate of {verdict.subject}", ["limit", "verdict", "how it stands", "written in"], rows, note)


def changed_tables(verdict: Verdict) -> list[Table]:
    """Return the queries whose answers changed most, a table for each way to rank that a limit was about."""
    found = {check.method: check.changed for check in verdict.checks if check.changed}
    columns = ["query", "of ten kept", "first before", "first now"]
    return [
        Table(
            f"what users will notice: {method}",
            columns,
            [[entry.query, f"{entry.overlap10:.0%}", entry.before[0], entry.now[0]] for entry in changed],
            "the queries that changed most",
        )
        for method, changed in found.items()
    ]


def markdown(report: Report, verdict: Verdict | None = None) -> str:
    """Return the report, and the verdict when there is one, as a Markdown document."""
    parts = [visible(f"# What {report.subject} costs"), ""]
    for device in report.devices:
        parts += markdown_table(device_table(report, device))
    if report.quality:
        rows = [[measurement.metric, _cell(measurement), measurement.method] for measurement in report.quality]
        parts += markdown_table(Table("Quality", ["metric", "value", "method"], rows))
    for missing in report.unavailable:
        parts += [visible(f"{missing.device} was not measured: {missing.reason}"), ""]
    if verdict is not None:
        for table in (verdict_table(verdict), *changed_tables(verdict)):
            parts += markdown_table(table)
    return "\n".join(parts)


def markdown_table(table: Table) -> list[str]:
    """Return the lines of a table with its title and note."""
    lines = [
        f"## {visible(table.title)}",
        "",
        _markdown_row(table.columns),
        _markdown_row(["---"] * len(table.columns)),
    ]
    lines += [_markdown_row(row) for row in table.rows]
    return [*lines, "", visible(table.note), ""] if table.note else [*lines, ""]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(visible(cell).replace("|", "\\|") for cell in cells) + " |"


def _machine(device: DeviceReport) -> str:
    machine = device.machine
    name = machine.get("board") or machine.get("cpu") or machine.get("architecture") or "unknown machine"
    return f"{name}, {machine.get('cores', '?')} cores"


def _note(report: Report, device: DeviceReport) -> str:
    subject = [measurement for measurement in device.measurements if measurement.model == report.subject]
    notes = [f"{len(device.runs)} processes, models interleaved; values with 95 % intervals"]
    unstable = sorted({row.stability for row in subject if row.stability != "stable"})
    notes += [f"not stable: {text}" for text in unstable[:2]]
    for row in subject:
        if row.value is None and row.reason and row.metric in _SHORT:
            notes.append(f"{row.metric}: {row.reason}")
        if row.metric == "energy_per_query" and row.value is not None:
            notes.append(f"energy: {row.source}, {row.method}")
    notes += [text for text in (report.not_compared, report.first_weights) if text]
    if report.quality_not_measured:
        notes.append(f"ranking quality was not measured: {report.quality_not_measured}")
    return ". ".join(notes) + "."


def extra_tables(device: DeviceReport) -> list[Table]:
    """Return the tables of what was measured besides the main figures; none when nothing was."""
    tables = [_limits(device), _golden(device), _sweeps(device), _sustained(device), _overhead(device)]
    return [table for table in tables if table.rows]


def _limits(device: DeviceReport) -> Table:
    return Table(f"{device.device}: limits of the emulation", ["", ""], list(map(list, device.limits.items())))


def _golden(device: DeviceReport) -> Table:
    rows = [[replay.model, "ok" if replay.passed else "DIFFERENT", replay.detail] for replay in device.golden]
    return Table(f"{device.device}: golden vectors", ["model", "", "how it stands"], rows)


def _sweeps(device: DeviceReport) -> Table:
    columns = ["sweep", "model", "p50 of a call", "texts/s", "peak RSS", "instructions a text", "tokens"]
    return Table(f"{device.device}: sweeps", columns, [_sweep_row(point) for point in device.sweeps])


def _sweep_row(point: SweepPoint) -> list[str]:
    label = f"{point.axis} {point.value}"
    if point.reason:
        return [label, point.model, "-", "-", "-", "-", point.reason]
    mark = " (emulated)" if point.kind == "emulated" and point.throughput is not None else ""
    bounds = format_interval(point.throughput_low, point.throughput_high, "1/s")
    return [
        label,
        point.model,
        format_quantity(point.latency_p50, "s"),
        format_quantity(point.throughput, "1/s") + mark + (f" [{bounds}]" if bounds else ""),
        format_quantity(point.peak_rss, "B"),
        format_quantity(point.instructions, "instructions"),
        f"{point.mean_tokens:g}",
    ]


def _sustained(device: DeviceReport) -> Table:
    rows = []
    for run in device.sustained:
        seconds = run.windows[-1].start if run.windows else 0.0
        change = "-" if run.change is None else f"{run.change:+.1%}"
        clock = _range([window.megahertz for window in run.windows], "MHz")
        heat = _range([window.celsius for window in run.windows], "°C")
        rows.append([run.model, f"{seconds:.0f} s", change, clock, heat, run.verdict])
    columns = ["model", "lasted", "throughput, last to first quarter", "clock", "temperature", "verdict"]
    return Table(f"{device.device}: sustained", columns, rows)


def _range(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.0f} … {max(known):.0f} {unit}" if known else "not shown"


def _overhead(device: DeviceReport) -> Table:
    by_metric = {row.metric: row for row in device.overhead if row.value is not None}
    rows = [
        [metric, _plain(by_metric[metric]), meaning] for metric, meaning in _OVERHEAD.items() if metric in by_metric
    ]
    note = "Included in every figure above: it is the floor that no model can go below."
    return Table(f"{device.device}: the harness itself", ["", "value", "what it is"], rows, note)
