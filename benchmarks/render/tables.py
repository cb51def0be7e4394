"""Reports and verdicts as tables: rows for the terminal, and Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.units import format_interval, format_quantity
from ..gate.judge import Verdict
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, Report

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
    rows = [["shipped bytes", *(_bytes(report, name) for name in names)]]
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
    """Return what a release manager asks first: the reference model against the subject, and their ratio.

    Quality and bytes come first, then the first device's costs.
    """
    subject, reference = report.subject, report.reference
    device = report.devices[0]
    quality = {one.metric: one for one in report.quality}
    teacher_quality = quality.get("ndcg10_teacher")
    rows = [_shipped_row(report, reference, subject)]
    for name, label in (("asymmetric", "teacher's documents"), ("symmetric", "its own documents")):
        one = quality.get(f"ndcg10_{name}")
        rows.append([f"nDCG@10, {label}", _plain(teacher_quality), _plain(one), _percent(one, teacher_quality)])
    for metric, label in (
        ("latency_p50", "p50 latency, text to vector"),
        ("cold_start", "cold start"),
        ("peak_rss", "peak RSS"),
        ("energy_per_query", "energy per query"),
    ):
        old, new = device.find(metric, reference), device.find(metric, subject)
        rows.append([label, _plain(old), _plain(new), _percent(new, old)])
    columns = ["", reference or "teacher", subject, f"{subject} / {reference}" if reference else "ratio"]
    return Table(f"{title} on {device.device} ({_machine(device)})", columns, rows, _note(report, device))


def _shipped_row(report: Report, reference: str, subject: str) -> list[str]:
    sizes = {model.name: model.model_bytes + model.tokenizer_bytes for model in report.models}
    ratio = f"{sizes[subject] / sizes[reference]:.1%}" if reference in sizes else "-"
    cells = [format_quantity(sizes.get(name), "B") if name in sizes else "-" for name in (reference, subject)]
    return ["shipped bytes (model + tokenizer)", *cells, ratio]


def _plain(one: Measurement | None) -> str:
    if one is None or one.value is None:
        return "-"
    mark = " (estimate)" if one.kind == "estimated" else " (emulated)" if one.kind == "emulated" else ""
    return (f"{one.value:.4f}" if one.unit == "1" else format_quantity(one.value, one.unit)) + mark


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


def markdown(report: Report, verdict: Verdict | None = None) -> str:
    """Return the report, and the verdict when there is one, as a Markdown document."""
    parts = [f"# What {report.subject} costs", ""]
    for device in report.devices:
        parts += markdown_table(device_table(report, device))
    if report.quality:
        rows = [[one.metric, _cell(one), one.method] for one in report.quality]
        parts += markdown_table(Table("Quality", ["metric", "value", "method"], rows))
    for missing in report.unavailable:
        parts += [f"{missing.device} was not measured: {missing.reason}", ""]
    if verdict is not None:
        parts += markdown_table(verdict_table(verdict))
    return "\n".join(parts)


def markdown_table(table: Table) -> list[str]:
    """Return the lines of a table with its title and note."""
    lines = [f"## {table.title}", "", _markdown_row(table.columns), _markdown_row(["---"] * len(table.columns))]
    lines += [_markdown_row(row) for row in table.rows]
    return [*lines, "", table.note, ""] if table.note else [*lines, ""]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _bytes(report: Report, name: str) -> str:
    model = next(one for one in report.models if one.name == name)
    return format_quantity(model.model_bytes + model.tokenizer_bytes, "B")


def _cell(one: Measurement | None) -> str:
    if one is None:
        return "-"
    if one.value is None:
        return "-"
    mark = " (estimate)" if one.kind == "estimated" else " (emulated)" if one.kind == "emulated" else ""
    bounds = format_interval(one.low, one.high, one.unit) if one.low != one.high else ""
    return format_quantity(one.value, one.unit) + mark + (f" [{bounds}]" if bounds else "")


def _machine(device: DeviceReport) -> str:
    machine = device.machine
    name = machine.get("board") or machine.get("cpu") or machine.get("architecture") or "unknown machine"
    return f"{name}, {machine.get('cores', '?')} cores"


def _note(report: Report, device: DeviceReport) -> str:
    subject = [one for one in device.measurements if one.model == report.subject]
    notes = [f"{len(device.runs)} processes, models taking turns; values with 95 % intervals"]
    unstable = sorted({one.stability for one in subject if one.stability != "stable"})
    notes += [f"not stable: {text}" for text in unstable[:2]]
    for one in subject:
        if one.value is None and one.reason and one.metric in _SHORT:
            notes.append(f"{one.metric}: {one.reason}")
        if one.metric == "energy_per_query" and one.value is not None:
            notes.append(f"energy: {one.source}, {one.method}")
    return ". ".join(notes) + "."
