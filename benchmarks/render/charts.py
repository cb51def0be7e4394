"""Charts of the HTML report, as shapes that `macros.html` writes as inline SVG.

Colours are classes of `page.css` (`f1` … `f6` fill, `s1` … `s6` stroke), so that light, dark and print agree.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Format = Callable[[float], str]
WIDTH = 560
_PART_GAP = 1.5


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart; `low` and `high` are its interval upwards."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    colour: int = 1  # 1 … 6


@dataclass(frozen=True)
class Row:
    """A row of a chart: parts of a bar, single values, or one value with its interval."""

    label: str
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    colour: int = 1


@dataclass(frozen=True)
class Stage:
    """A value at a named place of the x axis; `broken` says why no line leads to it, `change` what changed there."""

    place: int
    value: float
    low: float | None = None
    high: float | None = None
    broken: str = ""
    change: str = ""


@dataclass(frozen=True)
class Shape:
    """An SVG element; `hint` shows where the pointer rests."""

    element: str
    attributes: dict[str, str | float]
    text: str = ""
    hint: str = ""


@dataclass
class Drawing:
    """A chart: its size, what it says to those who cannot see it, and its shapes in drawing order."""

    title: str
    height: float
    shapes: list[Shape] = field(default_factory=list)
    width: float = WIDTH

    def add(self, element: str, style: str, text: str = "", hint: str = "", **attributes: float) -> None:
        """Append an element with CSS classes; coordinates keep two digits, so that the page stays small."""
        rounded = {name: round(value, 2) for name, value in attributes.items()}
        self.shapes.append(Shape(element, {"class": style, **rounded}, text, hint))

    def line(self, x: float | tuple[float, float], y: float | tuple[float, float], style: str) -> None:
        """Append a straight line; where x or y is one number the line is vertical or horizontal."""
        (x1, x2), (y1, y2) = (ends if isinstance(ends, tuple) else (ends, ends) for ends in (x, y))
        self.add("line", style, x1=x1, x2=x2, y1=y1, y2=y2)

    def text(self, text: str, x: float, y: float, style: str, most: int = 80) -> None:
        """Append a text, cut to `most` characters; the whole of it is its hint then."""
        short = text if len(text) <= most else text[: most - 1] + "…"
        self.add("text", style, short, text if short != text else "", x=x, y=y)


@dataclass(frozen=True)
class _Axis:
    """A linear or logarithmic scale from values to coordinates; its ends are kept as logarithms on the latter."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        scaled = math.log10(value) if self.logarithmic else value
        return self.start + (scaled - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            return _log_ticks(10**self.low, 10**self.high)
        return _linear_ticks(self.low, self.high)


def _linear_axis(values: Iterable[float | None], start: float, end: float) -> _Axis:
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return _Axis(low - pad, high + pad, start, end)


def _log_axis(values: Iterable[float], start: float, end: float, pad: float = 0.06, least: float = 0.04) -> _Axis:
    logs = [math.log10(value) for value in values if value > 0]
    low, high = min(logs), max(logs)
    pad = max(pad * (high - low), least)
    return _Axis(low - pad, high + pad, start, end, logarithmic=True)


def scatter(
    points: Sequence[Point],
    x_title: str,
    y_title: str,
    x_format: Format,
    levels: Sequence[tuple[str, float]] = (),
) -> Drawing:
    """Return points over a logarithmic x axis; `levels` are named heights, such as a baseline without bytes."""
    drawing = Drawing(f"{y_title} against {x_title}", 300)
    left, right = 48, WIDTH - 14
    x_axis = _log_axis([point.x for point in points], left, right, 0.12, 0.25)
    known = [value for point in points for value in (point.y, point.low, point.high)]
    y_axis = _linear_axis([*known, *(level for _, level in levels)], drawing.height - 44, 16)
    _frame(drawing, x_axis, y_axis, x_title, "{:.2f}".format)
    base = y_axis.start
    for tick in x_axis.ticks():
        drawing.line(x_axis(tick), (base, base + 4), "axis")
        drawing.text(x_format(tick), x_axis(tick), base + 17, "tick middle")
    drawing.line((left, right), base, "axis")
    taken: list[tuple[float, float]] = []  # where labels stand
    for label, level in levels:
        drawing.line((left, right), y_axis(level), "level")
        drawing.text(label, right - 2, y_axis(level) - 5, "note end")
        taken.append((right - 40, y_axis(level) - 5))
    for point in points:
        x, y = x_axis(point.x), y_axis(point.y)
        if point.low is not None and point.high is not None:
            drawing.line(x, (y_axis(point.low), y_axis(point.high)), f"whisker s{point.colour}")
        hint = f"{point.label}: {point.y:.4f} at {x_format(point.x)}"
        drawing.add("circle", f"dot f{point.colour}", hint=hint, cx=x, cy=y, r=5.5)
        label_y = y + 4
        while any(abs(label_y - other) < 15 and abs(x - place) < 190 for place, other in taken):
            label_y -= 15
        taken.append((x, label_y))
        leftwards = x > left + 0.62 * (right - left)
        drawing.text(point.label, x + (-11 if leftwards else 11), label_y, "label end" if leftwards else "label", 40)
    return drawing


def lines(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_title: str, y_format: Format) -> Drawing:
    """Return a line for each series of (x, y); both axes start at zero."""
    drawing = Drawing(x_title, 210)
    points = [point for _, values in series for point in values]
    x_axis = _Axis(0, max(x for x, _ in points) or 1.0, 70, WIDTH - 20)
    y_axis = _Axis(0, 1.08 * max(y for _, y in points) or 1.0, drawing.height - 44, 14)
    _frame(drawing, x_axis, y_axis, x_title, y_format)
    for x in sorted({x for x, _ in points}):
        drawing.text(f"{x:g}", x_axis(x), y_axis.start + 17, "tick middle")
    for colour, (label, values) in enumerate(series, start=1):
        path = " ".join(f"{x_axis(x):.1f},{y_axis(y):.1f}" for x, y in sorted(values))
        drawing.shapes.append(Shape("polyline", {"class": f"line s{colour}", "points": path}))
        for x, y in values:
            hint = f"{label} at {x:g}: {y_format(y)}"
            drawing.add("circle", f"dot f{colour}", hint=hint, cx=x_axis(x), cy=y_axis(y), r=4)
    return drawing


def stages(values: Sequence[Stage], names: Sequence[str], y_format: Format, title: str) -> Drawing:
    """Return values with intervals over named places, joined by a line where they can be compared; changes stand out.

    The y axis spans 10 % at least, so that noise does not look like a change.
    """
    drawing = Drawing(title, 220)
    x_axis = _Axis(-0.4, len(names) - 0.6, 76, WIDTH - 20)
    known = [end for entry in values for end in (entry.low, entry.high, 0.95 * entry.value, 1.05 * entry.value)]
    y_axis = _linear_axis(known, drawing.height - 44, 24)
    _frame(drawing, x_axis, y_axis, "release", y_format)
    spacing = (x_axis.end - x_axis.start) / len(names)
    every = math.ceil((6.5 * min(max(map(len, names)), 14) + 8) / spacing)
    for place in range(len(names) - 1, -1, -every):  # the last release always has its name
        drawing.text(names[place], x_axis(place), y_axis.start + 17, "tick middle", 14)
    for before, entry in pairwise(values):
        ends = (x_axis(before.place), x_axis(entry.place))
        if entry.broken:
            middle = sum(ends) / 2
            drawing.add("line", "level", hint=entry.broken, x1=middle, x2=middle, y1=y_axis.start, y2=y_axis.end)
        else:
            drawing.line(ends, (y_axis(before.value), y_axis(entry.value)), "line s1")
    for entry in values:
        x, colour = x_axis(entry.place), 2 if entry.change else 1
        top = y_axis(entry.value if entry.high is None else entry.high)
        if entry.low is not None and entry.high is not None:
            drawing.line(x, (y_axis(entry.low), y_axis(entry.high)), f"whisker s{colour}")
        hint = f"{names[entry.place]}: {y_format(entry.value)}"
        drawing.add("circle", f"dot f{colour}", hint=hint, cx=x, cy=y_axis(entry.value), r=6 if entry.change else 4.5)
        if entry.change:
            drawing.text(
                entry.change, min(x, WIDTH - 34), max(min(top, y_axis(entry.value) - 4) - 8, 12), "value middle"
            )
    return drawing


def dot_rows(rows: Sequence[Row], shown: Format, title: str, *, logarithmic: bool = False) -> Drawing:
    """Return a row of dots for each label: one value with its interval and figure, or several values."""
    step = 27
    drawing = Drawing(title, step * len(rows) + 30)
    left = min(24 + 6.2 * max(len(row.label) for row in rows), 240)
    known = [value for row in rows for value in (*row.values, row.low, row.high) if value is not None]
    axis = (_log_axis if logarithmic else _linear_axis)(known, left, WIDTH - 54)
    for tick in axis.ticks():
        drawing.line(axis(tick), (4, drawing.height - 24), "grid")
        drawing.text(shown(tick), axis(tick), drawing.height - 8, "tick middle")
    for index, row in enumerate(rows):
        y = index * step + 18
        drawing.text(row.label, left - 10, y + 4, "label end", 36)
        if row.low is not None and row.high is not None:
            drawing.line((axis(row.low), axis(row.high)), y, f"whisker s{row.colour}")
        single = len(row.values) == 1
        for number, value in enumerate(row.values, start=1):
            hint = f"{row.label}{'' if single else f', process {number}'}: {shown(value)}"
            style = f"dot f{row.colour}" if single else f"faint f{row.colour}"
            drawing.add("circle", style, hint=hint, cx=axis(value), cy=y, r=5)
        if single and not logarithmic:
            drawing.text(f"{row.values[0]:.3f}", WIDTH - 44, y + 4, "value")
    return drawing


def stacked_bars(rows: Sequence[Row], names: Sequence[str], shown: Format) -> Drawing:
    """Return a horizontal bar for each row, made of named parts, all on one scale; part i has colour i + 1."""
    left, right, step = 132, 76, 34
    drawing = Drawing("parts: " + ", ".join(names), step * len(rows) + 6)
    scale = (WIDTH - left - right) / (max(sum(row.values) for row in rows) or 1.0)
    for index, row in enumerate(rows):
        y, x = index * step + 6, float(left)
        drawing.text(row.label, left - 9, y + 15, "label end", 20)
        for part, value in enumerate(row.values):
            width = value * scale
            hint = f"{row.label}, {names[part]}: {shown(value)}"
            if width > 0.2:
                gap = _PART_GAP if width > 2 * _PART_GAP else 0
                drawing.add("rect", f"f{part + 1}", hint=hint, x=x, y=y, width=width - gap, height=22, rx=2)
            x += width
        drawing.text(shown(sum(row.values)), x + 6, y + 15, "value")
    return drawing


def _frame(drawing: Drawing, x_axis: _Axis, y_axis: _Axis, x_title: str, y_format: Format) -> None:
    """Draw the grid of the y axis, and the title of the x axis."""
    for tick in y_axis.ticks():
        drawing.line((x_axis.start, x_axis.end), y_axis(tick), "grid")
        drawing.text(y_format(tick), x_axis.start - 7, y_axis(tick) + 4, "tick end")
    drawing.text(x_title, (x_axis.start + x_axis.end) / 2, drawing.height - 6, "title middle")


def _linear_ticks(low: float, high: float) -> list[float]:
    """Return four to eight round numbers inside a range."""
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.8)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers inside a range: powers of ten, with 2 and 5 (or finer) between them when there is room."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), [tenth / 10 for tenth in range(10, 100)]):
        ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: max(math.ceil(len(ticks) / 7), 1)]
