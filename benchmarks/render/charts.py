"""Charts as inline SVG. Colours are the page's variables `--c1` … `--c6`, so that light, dark and print agree."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .markup import Markup, join, tag

Format = Callable[[float], str]
_WIDTH = 560
_PART_GAP = 1.5


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart; `low` and `high` are its interval upwards."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    series: int = 1


@dataclass(frozen=True)
class Row:
    """A row of a chart: parts of a bar, or single values, or one value with its interval."""

    label: str
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    series: int = 1


def scatter(
    points: Sequence[Point], x_title: str, y_title: str, x_format: Format, lines: Sequence[tuple[str, float]] = ()
) -> Markup:
    """Return points over a logarithmic x axis; `lines` are named levels of y, such as a baseline without bytes."""
    height, left, right, top, bottom = 300, 48, 14, 16, 44
    levels = [value for one in points for value in (one.y, one.low, one.high) if value is not None]
    levels += [level for _, level in lines]
    y_low, y_high = _padded(min(levels), max(levels))
    logs = [math.log10(one.x) for one in points]
    pad = max(0.12 * (max(logs) - min(logs)), 0.25)
    x_low, x_high = min(logs) - pad, max(logs) + pad

    def across(x: float) -> float:
        return left + (math.log10(x) - x_low) / (x_high - x_low) * (_WIDTH - left - right)

    def up(y: float) -> float:
        return top + (y_high - y) / (y_high - y_low) * (height - top - bottom)

    parts: list[str] = []
    for tick in _linear_ticks(y_low, y_high):
        parts.append(tag("line", x1=left, x2=_WIDTH - right, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(tag("text", f"{tick:.2f}", x=left - 7, y=up(tick) + 4, class_="tick end"))
    for tick in _log_ticks(10**x_low, 10**x_high):
        parts.append(
            tag("line", x1=across(tick), x2=across(tick), y1=height - bottom, y2=height - bottom + 4, class_="axis")
        )
        parts.append(tag("text", x_format(tick), x=across(tick), y=height - bottom + 17, class_="tick middle"))
    base = height - bottom
    parts.append(tag("line", x1=left, x2=_WIDTH - right, y1=base, y2=base, class_="axis"))
    parts.append(tag("text", x_title, x=(left + _WIDTH - right) / 2, y=height - 6, class_="title middle"))
    taken: list[tuple[float, float]] = []
    for label, level in lines:
        parts.append(tag("line", x1=left, x2=_WIDTH - right, y1=up(level), y2=up(level), class_="level"))
        parts.append(tag("text", label, x=_WIDTH - right - 2, y=up(level) - 5, class_="note end"))
        taken.append((_WIDTH - right - 40, up(level) - 5))
    for one in points:
        x, y = across(one.x), up(one.y)
        if one.low is not None and one.high is not None:
            parts.append(tag("line", x1=x, x2=x, y1=up(one.low), y2=up(one.high), class_=f"whisker s{one.series}"))
        hint = tag("title", f"{one.label}: {one.y:.4f} at {x_format(one.x)}")
        parts.append(tag("circle", hint, cx=x, cy=y, r=5.5, class_=f"dot f{one.series}"))
        to_left = x > left + 0.62 * (_WIDTH - left - right)
        label_y = y + 4
        while any(abs(label_y - other) < 15 and abs(x - at) < 190 for at, other in taken):
            label_y -= 15
        taken.append((x, label_y))
        side = "end" if to_left else "start"
        parts.append(
            tag("text", _short(one.label, 40), x=x + (-11 if to_left else 11), y=label_y, class_=f"label {side}")
        )
    return _svg(height, f"{y_title} against {x_title}", parts)


def stacked_bars(rows: Sequence[Row], names: Sequence[str], shown: Format) -> Markup:
    """Return a horizontal bar a row, made of named parts, all on one scale; part i has colour i + 1."""
    left, right, step = 132, 76, 34
    height = step * len(rows) + 6
    most = max(sum(row.values) for row in rows) or 1.0
    scale = (_WIDTH - left - right) / most
    parts: list[str] = []
    for index, row in enumerate(rows):
        y, x = index * step + 6, float(left)
        parts.append(
            tag("text", _short(row.label, 20), tag("title", row.label), x=left - 9, y=y + 15, class_="label end")
        )
        for part, value in enumerate(row.values):
            width = value * scale
            hint = tag("title", f"{row.label}, {names[part]}: {shown(value)}")
            if width > 0.2:
                gap = _PART_GAP if width > 2 * _PART_GAP else 0
                box = {"x": x, "y": y, "width": width - gap, "height": 22, "rx": 2}
                parts.append(tag("rect", hint, **box, class_=f"f{part + 1}"))
            x += width
        parts.append(tag("text", shown(sum(row.values)), x=x + 6, y=y + 15, class_="value"))
    return _svg(height, "parts: " + ", ".join(names), parts)


def intervals(rows: Sequence[Row], shown: Format) -> Markup:
    """Return a value with its interval in each row, on one linear scale."""
    left, right, step = 222, 54, 27
    height = step * len(rows) + 30
    known = [value for row in rows for value in (*row.values, row.low, row.high) if value is not None]
    low, high = _padded(min(known), max(known))

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * (_WIDTH - left - right)

    parts: list[str] = []
    for tick in _linear_ticks(low, high):
        parts.append(tag("line", x1=across(tick), x2=across(tick), y1=4, y2=height - 24, class_="grid"))
        parts.append(tag("text", shown(tick), x=across(tick), y=height - 8, class_="tick middle"))
    for index, row in enumerate(rows):
        y = index * step + 18
        parts.append(tag("text", _short(row.label, 32), x=left - 10, y=y + 4, class_="label end"))
        if row.low is not None and row.high is not None:
            ends = {"x1": across(row.low), "x2": across(row.high)}
            parts.append(tag("line", **ends, y1=y, y2=y, class_=f"whisker s{row.series}"))
        hint = tag("title", f"{row.label}: {shown(row.values[0])}")
        parts.append(tag("circle", hint, cx=across(row.values[0]), cy=y, r=5, class_=f"dot f{row.series}"))
        parts.append(tag("text", f"{row.values[0]:.3f}", x=_WIDTH - right + 10, y=y + 4, class_="value"))
    return _svg(height, "values with intervals", parts)


def strips(rows: Sequence[Row], shown: Format) -> Markup:
    """Return every single value of each row as a dot on a logarithmic scale: what the noise looks like."""
    left, right, step = 132, 20, 32
    height = step * len(rows) + 28
    known = [value for row in rows for value in row.values if value > 0]
    logs = math.log10(min(known)), math.log10(max(known))
    pad = max(0.06 * (logs[1] - logs[0]), 0.04)
    low, high = logs[0] - pad, logs[1] + pad

    def across(value: float) -> float:
        return left + (math.log10(value) - low) / (high - low) * (_WIDTH - left - right)

    parts: list[str] = []
    for tick in _log_ticks(10**low, 10**high):
        parts.append(tag("line", x1=across(tick), x2=across(tick), y1=2, y2=height - 22, class_="grid"))
        parts.append(tag("text", shown(tick), x=across(tick), y=height - 7, class_="tick middle"))
    for index, row in enumerate(rows):
        y = index * step + 18
        parts.append(tag("text", _short(row.label, 20), x=left - 10, y=y + 4, class_="label end"))
        for number, value in enumerate(row.values, start=1):
            hint = tag("title", f"{row.label}, process {number}: {shown(value)}")
            parts.append(tag("circle", hint, cx=across(value), cy=y, r=4.5, class_=f"f{row.series} faint"))
    return _svg(height, "every process", parts)


def lines(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_title: str, shown: Format) -> Markup:
    """Return one line a row over a few settings; both axes start at zero, y is the measured value."""
    height, left, right, top, bottom = 210, 70, 20, 14, 44
    x_most = max(x for _, points in rows for x, _ in points) or 1.0
    y_most = 1.08 * max(y for _, points in rows for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + x / x_most * (_WIDTH - left - right)
        return across, height - bottom - y / y_most * (height - top - bottom)

    parts: list[str] = []
    for tick in _linear_ticks(0, y_most):
        _, y = place(0, tick)
        parts.append(tag("line", x1=left, x2=_WIDTH - right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", shown(tick), x=left - 7, y=y + 4, class_="tick end"))
    for x in sorted({x for _, points in rows for x, _ in points}):
        parts.append(tag("text", f"{x:g}", x=place(x, 0)[0], y=height - bottom + 17, class_="tick middle"))
    parts.append(tag("text", x_title, x=(left + _WIDTH - right) / 2, y=height - 6, class_="title middle"))
    for index, (label, points) in enumerate(rows, start=1):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in sorted(points))
        parts.append(tag("polyline", points=path, class_=f"line s{index}"))
        for x, y in points:
            at = place(x, y)
            hint = tag("title", f"{label} at {x:g}: {shown(y)}")
            parts.append(tag("circle", hint, cx=at[0], cy=at[1], r=4, class_=f"dot f{index}"))
    return _svg(height, x_title, parts)


def legend(names: Sequence[str]) -> Markup:
    """Return the names with their colours."""
    items = [tag("li", tag("span", class_=f"key b{index}"), name) for index, name in enumerate(names, start=1)]
    return tag("ul", *items, class_="legend")


def _svg(height: float, title: str, parts: Sequence[str]) -> Markup:
    box = f"0 0 {_WIDTH} {height:g}"
    return tag("svg", join(list(parts)), viewBox=box, role="img", aria_label=title, preserveAspectRatio="xMinYMin meet")


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def _linear_ticks(low: float, high: float) -> list[float]:
    """Return four to eight round numbers inside a range."""
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.8)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers inside a range: powers of ten, with 2 and 5 (or finer) between them when there is room."""
    found: list[float] = []
    for steps in (
        (1.0,),
        (1.0, 2.0, 5.0),
        (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
        tuple(k / 10 for k in range(10, 100)),
    ):
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**exponent for exponent in exponents for step in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= 3:
            break
    return found[:: max(math.ceil(len(found) / 7), 1)]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
