"""The report as one HTML file that needs nothing else: to read on a screen, in the dark, and on paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...runtime.extras import require
from ..gate.judge import Verdict
from ..records.report import Report
from . import sections
from .tables import format_bounds, format_figure


def html_page(report: Report, verdict: Verdict | None = None, parts: Sequence[sections.BytesPart] = ()) -> bytes:
    """Return the page of a report, and of its verdict where there is one.

    `parts` say where the bytes of the shipped files go; without them that section is left out. Raises
    `UnavailableError` without jinja2.
    """
    return fill_template(
        "page.html",
        report=report,
        verdict=verdict,
        parts=parts,
        changed_queries={check.method: check.changed for check in verdict.checks if check.changed} if verdict else {},
        tiles=sections.tiles(report),
        side_by_side=sections.side_by_side(report),
        quality=sections.quality(report),
        costs=sections.costs(report),
        loads=sections.loads(report),
        machines=[(device, sections.machine_facts(device)) for device in report.devices],
    )


def fill_template(name: str, **values: Any) -> bytes:
    """Return a page from a template of this folder. Raises `UnavailableError` without jinja2."""
    require_jinja2()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["figure"] = lambda measurement: format_figure(measurement.value, measurement.unit)
    environment.filters["bounds"] = format_bounds
    return environment.get_template(name).render(values).encode("utf-8")


def require_jinja2() -> None:
    """Raise `UnavailableError` when the package that fills the page's template is not installed."""
    require("the HTML page", "jinja2")


def _visible(value: object) -> object:
    """Show characters that would steer a terminal or turn the text around as what they are: unprintable."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in value)
    return value
