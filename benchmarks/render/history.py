"""The history of releases: a table a device, JSON, and a page with one chart a metric."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from ..gate.history import MetricHistory, Step
from ..records.metrics import metric_of
from ..records.releases import Skipped
from .charts import Stage, stages
from .page import fill_template
from .sections import Panel
from .tables import Table, format_figure

_NO_CHANGE = "no release"


def history_tables(histories: Sequence[MetricHistory]) -> Iterator[Table]:
    """Return a table a section: first, last, change, and the releases that changed it."""
    columns = ["", "first", "last", "change", "changed by"]
    for section in _sections(histories):
        rows = [
            [
                history.metric,
                f"{_shown(history, history.overall.old)} ({history.overall.before})",
                f"{_shown(history, history.overall.new)} ({history.overall.release})",
                f"{history.overall.value:+.1%}" if history.overall.value is not None else "-",
                describe(history),
            ]
            for history in histories
            if history.section == section
        ]
        yield Table(section, columns, rows)


def describe(history: MetricHistory) -> str:
    """Return which releases changed a metric and by how much, and which steps were not decided, and why."""
    parts = [change_text(history, step) for step in history.changes] or [_NO_CHANGE]
    if not history.changes and history.overall.changed:
        parts = [f"no single release; {_amount(history, history.overall)} since {history.overall.before}"]
    reasons: dict[str, list[str]] = {}
    for step in history.steps:
        if not step.changed and step.reason:
            reasons.setdefault(step.reason, []).append(step.release)
    open_steps = [f"not decided at {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "; ".join([*parts, *open_steps])


def change_text(history: MetricHistory, step: Step) -> str:
    """Return the release of a step, by how much it changed the metric, and whether that is better or worse."""
    return f"{step.release} {_amount(history, step)} ({'worse' if history.worse(step) else 'better'})"


def history_mapping(
    names: Sequence[str], histories: Sequence[MetricHistory], skipped: Sequence[Skipped]
) -> dict[str, Any]:
    """Return the history for JSON."""
    return {
        "releases": list(names),
        "skipped": [vars(release) for release in skipped],
        "metrics": [
            {
                "section": history.section,
                "metric": history.metric,
                "unit": history.unit,
                "better": history.better,
                "changed_by": [step.release for step in history.changes],
                "points": [
                    {
                        "release": point.release,
                        "machine": point.device.fingerprint if point.device else "",
                        **{key: getattr(point.measurement, key) for key in ("kind", "value", "low", "high")},
                    }
                    for point in history.points
                ],
                "steps": [vars(step) for step in history.steps],
                "overall": vars(history.overall),
            }
            for history in histories
        ],
    }


def history_page(names: Sequence[str], histories: Sequence[MetricHistory], skipped: Sequence[Skipped]) -> bytes:
    """Return the page: what changed, then each metric over the releases. Raises `UnavailableError` without jinja2."""
    changes = [
        (step, history, _amount(history, step), _bounds(step))
        for name in names
        for history in histories
        for step in history.changes
        if step.release == name
    ]
    panels = [
        (section, [_panel(names, history) for history in histories if history.section == section])
        for section in _sections(histories)
    ]
    return fill_template("history.html", names=names, changes=changes, skipped=skipped, sections=panels)


def _panel(names: Sequence[str], history: MetricHistory) -> Panel:
    places = {name: place for place, name in enumerate(names)}
    values = []
    for point, step in zip(history.points, (None, *history.steps), strict=True):
        measurement = point.measurement
        assert measurement.value is not None  # points are those that have one
        values.append(
            Stage(
                places[point.release],
                measurement.value,
                measurement.low,
                measurement.high,
                broken=step.reason if step and not step.comparable else "",
                change=_amount(history, step) if step and step.changed else "",
            )
        )
    title = history.metric.replace("_", " ")
    drawing = stages(values, names, functools.partial(_shown, history), f"{title} over the releases")
    meaning = metric_of(history.metric).meaning
    return Panel(title, drawing, f"{meaning}{'. ' if meaning else ''}Changed by: {describe(history)}.")


def _amount(history: MetricHistory, step: Step) -> str:
    if step.value is None:
        return f"{_shown(history, step.old)} → {_shown(history, step.new)}"
    digits = 1 if abs(step.value) >= 0.001 else 3
    return f"{step.value:+.{digits}%}"


def _bounds(step: Step) -> str:
    if not step.smallest or step.low is None or step.high is None:
        return ""
    return f"{step.low:+.1%} … {step.high:+.1%}"


def _shown(history: MetricHistory, value: float | None) -> str:
    return format_figure(value, history.unit)


def _sections(histories: Sequence[MetricHistory]) -> list[str]:
    return list(dict.fromkeys(history.section for history in histories))
