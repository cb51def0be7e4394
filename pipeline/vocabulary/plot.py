"""Plots as SVG files that stand alone: lines and points over one axis, several panels in a row.

Colours follow the reader's light or dark scheme. The same values always give the same bytes.
"""

import html
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Format = Callable[[float], str]

_STYLE = (
    ":root{--ink:#16161a;--soft:#5b5a57;--grid:#ecebe7;--back:#fff;"
    "--c1:#2a78d6;--c2:#eb6834;--c3:#1baf7a;--c4:#b07800;--c5:#4a3aa7;--c6:#e87ba4}"
    "@media(prefers-color-scheme:dark){:root{--ink:#f3f2ee;--soft:#bdbcb6;--grid:#373733;--back:#1e1e1c;"
    "--c1:#3987e5;--c2:#d95926;--c3:#199e70;--c4:#c98500;--c5:#9085e9;--c6:#d55181}}"
    "text{font:11px system-ui,sans-serif;fill:var(--soft)}.name{fill:var(--ink)}.end{text-anchor:end}"
    ".middle{text-anchor:middle}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}"
    ".level{stroke:var(--soft);stroke-dasharray:4 4}.line{fill:none;stroke-width:2}.back{fill:var(--back)}"
    + "".join(f".f{number}{{fill:var(--c{number})}}.s{number}{{stroke:var(--c{number})}}" for number in range(1, 7))
)
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 46, 58, 18
_LINE = 13  # height of a line of text


@dataclass(frozen=True)
class Point:
    """A value; `low` and `high` are its interval, `label` is written beside it, `marked` draws a ring around it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one colour; joined by a line unless `joined` is off. Without a name they belong to another series."""

    name: str
    points: tuple[Point, ...]
    joined: bool = True
    colour: int = 1  # 1 … 6


@dataclass(frozen=True)
class Panel:
    """One plot. `levels` are named heights across it, such as a baseline without bytes."""

    title: str
    x_title: str
    series: tuple[Series, ...]
    x_format: Format = field(default=lambda value: f"{value:g}")
    y_format: Format = field(default=lambda value: f"{value:g}")
    levels: tuple[tuple[str, float], ...] = ()
    logarithmic: bool = False  # the x axis
    from_zero: bool = False  # the y axis


def svg(panels: Sequence[Panel], width: int = 640, height: int = 380, columns: int = 1) -> bytes:
    """Return the panels as one SVG file, `columns` in a row, each `width` x `height`."""
    rows = math.ceil(len(panels) / columns)
    parts = [
        f'<g transform="translate({index % columns * width} {index // columns * height})">'
        + "".join(_panel(panel, width, height))
        + "</g>"
        for index, panel in enumerate(panels)
    ]
    whole = (columns if len(panels) > 1 else 1) * width, rows * height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]}" height="{whole[1]}" '
        f'viewBox="0 0 {whole[0]} {whole[1]}" role="img">'
    )
    back = f'<rect class="back" width="{whole[0]}" height="{whole[1]}"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", back, *parts, "</svg>", ""]).encode("utf-8")


def _panel(panel: Panel, width: int, height: int) -> list[str]:
    points = [point for series in panel.series for point in series.points]
    values = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
    values += [level for _, level in panel.levels]
    y_low, y_high = _padded(min(values), max(values))
    y_low = 0.0 if panel.from_zero else y_low
    places = [_place(panel, point.x) for point in points]
    x_low, x_high = _padded(min(places), max(places))
    bottom, right = height - _BOTTOM, width - _RIGHT
    named = [series for series in panel.series if series.name]
    top = _TOP + _LINE * max(len(named) - 1, 0)  # the names of the series stand above the plot

    def across(x: float) -> float:
        return _LEFT + (_place(panel, x) - x_low) / (x_high - x_low) * (right - _LEFT)

    def up(y: float) -> float:
        return top + (y_high - y) / (y_high - y_low) * (bottom - top)

    parts = [_text(panel.title, _LEFT, 16, "name")]
    for tick in _ticks(y_low, y_high):
        parts.append(_line(_LEFT, up(tick), right, up(tick), "grid"))
        parts.append(_text(panel.y_format(tick), _LEFT - 7, up(tick) + 4, "end"))
    for tick in _x_ticks(panel, sorted({point.x for point in points}), across):
        parts.append(_line(across(tick), bottom, across(tick), bottom + 4, "axis"))
        parts.append(_text(panel.x_format(tick), across(tick), bottom + 16, "middle"))
    parts.append(_line(_LEFT, bottom, right, bottom, "axis"))
    parts.append(_text(panel.x_title, (_LEFT + right) / 2, height - 10, "middle"))
    taken: list[tuple[float, float]] = []
    for name, level in panel.levels:
        parts.append(_line(_LEFT, up(level), right, up(level), "level"))
        parts.append(_text(name, _LEFT + 6, _free(_LEFT + 6, up(level) - 4, taken), ""))
    for series in panel.series:
        parts += _drawn(series, across, up, taken, right)
    for number, series in enumerate(named):
        parts.append(_text(series.name, right, 16 + number * _LINE, f"end f{series.colour}"))
    return parts


def _drawn(
    series: Series,
    across: Callable[[float], float],
    up: Callable[[float], float],
    taken: list[tuple[float, float]],
    right: float,
) -> list[str]:
    parts = []
    ordered = sorted(series.points, key=lambda point: (point.x, point.y))
    if series.joined and len(ordered) > 1:
        path = " ".join(f"{across(point.x):.1f},{up(point.y):.1f}" for point in ordered)
        parts.append(f'<polyline class="line s{series.colour}" points="{path}"/>')
    for point in ordered:
        x, y = across(point.x), up(point.y)
        if point.low is not None and point.high is not None:
            parts.append(_line(x, up(point.low), x, up(point.high), f"s{series.colour}"))
        parts.append(f'<circle class="f{series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        if point.marked:
            parts.append(f'<circle class="line s{series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
        if point.label:
            to_left = x > 0.65 * right
            place = x + (-9 if to_left else 9)
            parts.append(_text(point.label, place, _free(place, y + 4, taken), "name end" if to_left else "name"))
    return parts


def _free(x: float, y: float, taken: list[tuple[float, float]]) -> float:
    """Return the nearest height above `y` where no other text stands, and keep it."""
    while any(abs(y - other) < _LINE and abs(x - place) < 150 for place, other in taken):
        y -= 4
    taken.append((x, y))
    return y


def _place(panel: Panel, x: float) -> float:
    return math.log10(x) if panel.logarithmic else x


def _x_ticks(panel: Panel, values: Sequence[float], across: Callable[[float], float]) -> list[float]:
    """Return the values themselves where they are few and stand apart, round numbers elsewhere."""
    apart = all(across(after) - across(before) > 34 for before, after in itertools.pairwise(values))
    if len(values) <= 8 and apart:
        return list(values)
    if not panel.logarithmic:
        return _ticks(values[0], values[-1])
    exponents = range(math.floor(math.log10(values[0])), math.ceil(math.log10(values[-1])) + 1)
    found = [step * 10.0**exponent for exponent in exponents for step in (1, 2, 5)]
    return [tick for tick in found if values[0] <= tick <= values[-1]] or [values[0], values[-1]]


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 4 or 1.0
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.8)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def _text(text: str, x: float, y: float, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
