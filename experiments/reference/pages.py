"""The pages of what is read from files and written to them."""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from pocketrank.benchmarks.gate import budget
from pocketrank.benchmarks.gate.judge import Verdict
from pocketrank.benchmarks.records import metrics, report
from pocketrank.benchmarks.records.report import Report
from pocketrank.devices.profile import Profile, profile_names, read_profile
from pocketrank.export.bundle.assemble import DEFAULT, REFERENCE
from pocketrank.pipeline.evaluate.record import Entry, Evaluation
from pocketrank.pipeline.losses import LIST_LOSSES, LOSSES, PAIR_LOSSES
from pocketrank.pipeline.packaging.bundle_stage import parity_figures
from pocketrank.pipeline.retrieval.system import METHODS
from pocketrank.pipeline.settings import Recipe
from pocketrank.runtime import golden, manifest, units
from pocketrank.runtime.search import bm25, entries, index
from pocketrank.runtime.units import format_quantity

from .declarations import Declaration, comment_above, declarations, held, nested
from .markdown import code, docstring, page, table


def recipe_page() -> str:
    """Return the page of all keys of a recipe."""
    parts = list(_recipe_section(Recipe, ""))
    return page("Recipe", *parts, "## Losses", _losses())


def _recipe_section(kind: type, place: str) -> Iterator[str]:
    fields = declarations(kind)
    if place:
        yield f"## {place}"
    yield docstring(kind.__doc__)
    inner = [field for field in fields if held(field.hint)]
    rows = [field for field in fields if field not in inner or field.meaning]
    if not place:  # `read_recipe` fills it in
        rows[0] = dataclasses.replace(rows[0], default="name of the file")
    yield _keys(dataclasses.replace(field, type=_table_type(field)) if field in inner else field for field in rows)
    for field in inner:
        name = f"{place.strip('[]')}.{field.name}" if place else field.name
        header = f"[[{name}]]" if _table_type(field) == "tables" else f"[{name}]"
        yield from _recipe_section(held(field.hint)[0], header)


def _table_type(field: Declaration) -> str:
    return "tables" if typing.get_origin(field.hint) is tuple else "table"


def _keys(fields: Iterable[Declaration]) -> str:
    rows = ((f"`{field.name}`", field.type, field.default, field.range, field.meaning) for field in fields)
    return table(("key", "type", "default", "range, unit", "meaning"), rows)


def _losses() -> str:
    kinds = (("batch", LOSSES), ("list of a cross-encoder", LIST_LOSSES), ("judged pairs", PAIR_LOSSES))
    rows = (
        (f"`{name}`", kind, docstring(function.__doc__).split("\n\n")[0])
        for kind, losses in kinds
        for name, function in losses.items()
    )
    return table(("`distill.losses`", "computed on", "what"), rows)


def budget_page() -> str:
    """Return the page of budget files."""
    bundle_metrics = (_metric(metric) for metric in metrics.METRICS.values() if metric.section == "bundle")
    device_metrics = (_metric(metric) for metric in metrics.METRICS.values() if metric.section == "device")
    ranking_metrics = (_metric(metric) for metric in metrics.METRICS.values() if metric.section == "ranking")
    scales = ((unit, ", ".join(f"`{name}`" for name in scale if name)) for unit, scale in units._SCALES.items())
    columns = ("metric", "unit", "better", "meaning")
    return page(
        "Budget",
        docstring(budget.__doc__),
        "## A limit",
        'A limit is a number, a quantity such as `"3 ms"`, or a table of these keys.',
        _fields(budget._Entry),
        "## Units",
        table(("unit of the metric", "what a limit may be written in"), scales),
        "## [bundle]",
        table(columns, bundle_metrics),
        "## [device.NAME]",
        "NAME is a device profile ([devices.md](devices.md)), one with its emulation in front (`cgroup:NAME`), or an "
        "address (`ssh://USER@HOST`).",
        table(columns, device_metrics),
        "## [quality]",
        "Any figure of [quality](metrics.md#quality). Higher is better unless the name ends in `_max` or `_bytes`, or "
        "holds `difference` or `change`; the key `better` says otherwise.",
        "## [regression]",
        "Any metric of a section above; the limit is the largest relative worsening against the baseline.",
        "## [ranking]",
        "What users will notice: both releases rank the test queries.",
        table(columns, ranking_metrics),
    )


def _metric(metric: metrics.Metric) -> tuple[str, str, str, str]:
    return f"`{metric.name}`", metric.unit, metric.better, metric.meaning


def metrics_page() -> str:
    """Return the page of all metrics."""
    rows = (
        (
            f"`{metric.name}`",
            metric.unit,
            metric.range_words,
            metric.better,
            metric.section,
            metric.meaning,
            metric.help,
        )
        for metric in metrics.METRICS.values()
    )
    figures = [
        (f"`{field.name}_SYSTEM`", field.meaning) for field in declarations(Evaluation) if Entry in held(field.hint)
    ]
    row: dict[str, Any] = {"reference": "its reference", "texts": "N"}
    row |= dict.fromkeys(("cosine_min", "cosine_mean", "score_change_max", "max_difference"), 0)
    parity = parity_figures([{"name": name, **row} for name in (REFERENCE, DEFAULT)])
    figures += [(f"`parity_{name}`", figure.method) for name, figure in parity.items()]
    return page(
        "Metrics",
        "A unit of 1 is a share or a ratio. A report or a budget with a value that a metric cannot have is refused.",
        "## Cost",
        table(("metric", "unit", "values", "better", "of the", "meaning", "what brings a broken limit back"), rows),
        "## Kinds",
        code(comment_above(metrics, "Kind")),
        "## Quality",
        "Figures of the held-out queries, each with its bootstrap interval. SYSTEM is one of the systems below. "
        "nDCG, MRR and recall are 0 to 1, a retention may be above 1, a cosine is -1 to 1.",
        table(("figure", "meaning"), figures),
        table(("SYSTEM", "what ranks"), ((f"`{name}`", method) for name, method in METHODS.items())),
    )


def bundle_page() -> str:
    """Return the page of bundles and indexes."""
    return page(
        "Bundle and index",
        "## Files of a bundle",
        docstring(manifest.__doc__),
        "## manifest.json",
        *_tree(manifest.Manifest),
        "## golden.json",
        docstring(golden.__doc__),
        *_tree(golden.Golden),
        "## Index",
        docstring(index.__doc__),
        docstring(entries.__doc__),
        docstring(bm25.__doc__),
        "## index.json",
        *_tree(index.IndexManifest),
    )


def report_page() -> str:
    """Return the page of `report.json` and `verdict.json`."""
    return page(
        "Report and verdict",
        f"Schema `{report.SCHEMA}`, version {report.VERSION}. Times are in seconds, memory in bytes, energy in joules "
        "unless a field says otherwise.",
        "## report.json",
        docstring(report.__doc__),
        *_tree(Report),
        "## verdict.json",
        *_tree(Verdict),
    )


def _tree(root: type) -> Iterator[str]:
    for kind in nested(root):
        yield f"### {kind.__name__}"
        yield docstring(kind.__doc__)
        yield _fields(kind)


def _fields(kind: type) -> str:
    rows = (
        (f"`{field.name}`", field.type, field.default, ", ".join(filter(None, (field.meaning, field.range))))
        for field in declarations(kind)
    )
    return table(("key", "type", "default", "meaning"), rows)


def devices_page() -> str:
    """Return the page of device profiles."""
    return page(
        "Devices",
        "Profiles that come with the package, `devices/*.toml`. Facts that nobody documents are left out.",
        *(part for name in profile_names() for part in _profile(read_profile(name))),
        "## Keys of a profile",
        *_tree(Profile),
    )


def _profile(profile: Profile) -> Iterator[str]:
    yield f"## {profile.name}"
    yield f"{profile.title}. {profile.notes}".strip()
    rows = [("architecture", profile.architecture, "")]
    if profile.soc:
        rows.append(("system on chip", profile.soc, profile.soc_source))
    rows += [("cores", f"{core.count} x {core.model}, {core.megahertz:g} MHz", core.source) for core in profile.cores]
    if profile.memory:
        rows.append(("memory", format_quantity(profile.memory.bytes, "B"), profile.memory.source))
    if profile.power:
        power = f"{profile.power.idle_watts:g} W idle, {profile.power.active_watts:g} W with all cores busy"
        rows.append(("power of the board", f"{power}; {profile.power.note}".rstrip("; "), profile.power.source))
    yield table(("fact", "value", "source"), rows)
