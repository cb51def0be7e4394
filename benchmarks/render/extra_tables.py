"""Tables beside the main one: golden replay, sweeps, sustained runs, and what the harness itself costs."""

from ...runtime.units import format_interval, format_quantity
from ..records.metrics import Measurement
from ..records.report import DeviceReport, SweepPoint
from .tables import Table

_OVERHEAD = (
    ("latency_p50", "one query through the harness, with an empty model"),
    ("instructions_per_query", "one query through the harness, with an empty model"),
    ("cpu_per_query", "processor time of it"),
    ("cold_start_import", "importing numpy, tokenizers and onnxruntime"),
    ("interpreter_rss", "memory of Python and the worker"),
    ("libraries_rss", "memory that the libraries add"),
)


def extra_tables(device: DeviceReport) -> list[Table]:
    """Return the tables of what was measured beside the main figures; none when nothing was."""
    found = [_limits(device), _golden(device), _sweeps(device), _sustained(device), _overhead(device)]
    return [table for table in found if table.rows]


def _limits(device: DeviceReport) -> Table:
    rows = [[key, text] for key, text in device.limits.items()]
    return Table(f"{device.device}: how it is stood in for", ["", ""], rows)


def _golden(device: DeviceReport) -> Table:
    rows = [[one.model, "ok" if one.passed else "DIFFERENT", one.detail] for one in device.golden]
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
    for one in device.sustained:
        seconds = one.windows[-1].start if one.windows else 0.0
        change = "-" if one.change is None else f"{one.change:+.1%}"
        heats = [window.celsius for window in one.windows if window.celsius is not None]
        clocks = [window.megahertz for window in one.windows if window.megahertz is not None]
        heat = f"{min(heats):.0f} … {max(heats):.0f} °C" if heats else "not shown"
        clock = f"{min(clocks):.0f} … {max(clocks):.0f} MHz" if clocks else "not shown"
        rows.append([one.model, f"{seconds:.0f} s", change, clock, heat, one.verdict])
    columns = ["model", "lasted", "throughput, last to first quarter", "clock", "temperature", "verdict"]
    return Table(f"{device.device}: sustained", columns, rows)


def _overhead(device: DeviceReport) -> Table:
    by_name = {one.metric: one for one in device.overhead}
    rows = [[name, _value(by_name[name]), meaning] for name, meaning in _OVERHEAD if _has(by_name.get(name))]
    note = "Included in every figure above: it is the floor that no model can go below."
    return Table(f"{device.device}: the harness itself", ["", "value", "what it is"], rows, note)


def _has(one: Measurement | None) -> bool:
    return one is not None and one.value is not None


def _value(one: Measurement) -> str:
    return format_quantity(one.value, one.unit) + (" (emulated)" if one.kind == "emulated" else "")
