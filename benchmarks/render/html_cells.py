"""Small pieces of the HTML report: tables, values with their interval and kind, badges."""

from collections.abc import Sequence

from ...runtime.units import format_interval, format_quantity
from ..records.metrics import Measurement
from ..records.report import DeviceReport, ModelFacts, Report
from .markup import Markup, tag

KINDS = {"measured": "measured", "counted": "counted", "estimated": "estimate", "emulated": "emulated"}


def value_cell(one: Measurement | None) -> Markup:
    """Return a cell with the value, its interval, and its kind where no clock or counter of the device made it."""
    if one is None:
        return tag("td", "-", class_="n")
    if one.value is None:
        return tag("td", tag("span", one.reason or "absent", class_="why"), class_="n")
    shown = f"{one.value:.4f}" if one.unit == "1" else format_quantity(one.value, one.unit)
    badge = [" ", tag("span", KINDS[one.kind], class_="badge kind")] if one.kind in ("estimated", "emulated") else []
    bounds = format_interval(one.low, one.high, one.unit) if one.low != one.high else ""
    return tag("td", shown, *badge, *([tag("small", bounds)] if bounds else []), class_="n")


def badge(word: str) -> Markup:
    """Return a verdict as a coloured word."""
    return tag("span", word, class_=f"badge {word.replace(' ', '-')}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Return a table; cells are elements already, heads may be plain text."""
    cells = [head if isinstance(head, Markup) else tag("th", head) for head in heads]
    body = [tag("tr", *row) for row in rows]
    table = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *body))
    return tag("div", table, class_="scroll")


def timed_device(report: Report) -> DeviceReport:
    """Return the first device that has a latency, else the first."""

    def has_latency(device: DeviceReport) -> bool:
        one = device.find("latency_p50", report.subject)
        return one is not None and one.value is not None

    return next(filter(has_latency, report.devices), report.devices[0])


def shipped(model: ModelFacts) -> int:
    """Return the bytes of the model file and its tokenizer."""
    return model.model_bytes + model.tokenizer_bytes


def round_quantity(value: float, unit: str) -> str:
    """Return a round number without trailing zeros: 10 ms rather than 10.0 ms."""
    number, _, name = format_quantity(value, unit).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {name}".strip()
