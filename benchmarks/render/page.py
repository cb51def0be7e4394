"""The report as one HTML file that needs nothing else: to read on a screen, in the dark, and on paper."""

from collections.abc import Iterator, Sequence

from ...runtime.units import format_quantity
from ..gate.judge import Verdict
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, Report
from .html_cells import KINDS, badge, shipped, table, timed_device, value_cell
from .html_style import STYLE
from .markup import Markup, tag
from .sections import BytesPart, bytes_section, quality_section, sweep_section, time_section

_SIDE_BY_SIDE = (
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "throughput",
    "cpu_per_query",
    "instructions_per_query",
    "cold_start",
    "peak_rss",
    "peak_rss_added",
    "settled_pss",
    "energy_per_query",
)


def html_page(report: Report, verdict: Verdict | None = None, parts: Sequence[BytesPart] = ()) -> bytes:
    """Return the page. `parts` say where the bytes of the shipped files go; without them that section is left out."""
    body = [
        _header(report, verdict),
        *_verdict(verdict),
        *_devices(report),
        *quality_section(report),
        *time_section(report),
        *bytes_section(parts),
        *sweep_section(report),
        *_how(report),
        tag(
            "footer",
            f"Written by pocketrank {report.code}. Texts: {report.texts.source}, {report.texts.count} of them, "
            f"{report.texts.mean_characters:.0f} characters on average. Sizes do not count ONNX Runtime itself. "
            "Every raw sample is in report.json.",
        ),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"What {report.subject} costs"),
        tag("style", Markup(STYLE)),
    ]
    page = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return b"<!doctype html>\n" + page.encode("utf-8") + b"\n"


def _header(report: Report, verdict: Verdict | None) -> Markup:
    names = [device.device for device in report.devices]
    against = f", beside {', '.join(one.name for one in report.models[1:])}" if len(report.models) > 1 else ""
    text = f"Measured on {', '.join(names)}{against}."
    missing = [tag("p", f"{one.device} was not measured: {one.reason}") for one in report.unavailable]
    return tag("header", tag("h1", f"What {report.subject} costs"), tag("p", text), *missing, _tiles(report, verdict))


def _tiles(report: Report, verdict: Verdict | None) -> Markup:
    facts = {model.name: model for model in report.models}
    own, reference = facts[report.subject], facts.get(report.reference)
    factor = shipped(reference) / shipped(own) if reference else 1.0
    more = f"{factor:,.0f} times smaller than {reference.name}" if reference and factor >= 2 else ""
    tiles = [_tile("shipped bytes", format_quantity(shipped(own), "B"), more or "model and tokenizer")]
    quality = {one.metric: one for one in report.quality}
    for way, whose in (("asymmetric", "teacher's documents"), ("symmetric", "own documents")):
        kept = quality.get(f"ndcg10_retention_{way}")
        if kept is not None and kept.value is not None:
            bounds = f" ({kept.low:.1%} … {kept.high:.1%})" if kept.low is not None and kept.high is not None else ""
            tiles.append(_tile("of the teacher's nDCG@10", f"{kept.value:.1%}", f"{whose}{bounds}"))
    device = timed_device(report)
    for metric, name in (
        ("latency_p50", "per query"),
        ("cold_start", "cold start"),
        ("peak_rss", "peak memory"),
        ("energy_per_query", "energy per query"),
    ):
        one = device.find(metric, report.subject)
        if one is not None and one.value is not None:
            other = device.find(metric, report.reference)
            ratio = f", {one.value / other.value:.1%} of {report.reference}" if other and other.value else ""
            label = {"estimated": ", an estimate", "emulated": ", emulated"}.get(one.kind, "")
            tiles.append(_tile(name, format_quantity(one.value, one.unit), f"on {device.device}{ratio}{label}"))
    if verdict is not None:
        good = sum(check.outcome == "pass" for check in verdict.checks)
        tiles.append(_tile("gate", badge(verdict.verdict), f"{good} of {len(verdict.checks)} limits kept"))
    return tag("div", *tiles, class_="tiles")


def _tile(name: str, figure: str, more: str) -> Markup:
    parts = [tag("div", name, class_="name"), tag("div", figure, class_="figure"), tag("div", more, class_="more")]
    return tag("div", *parts, class_="tile")


def _verdict(verdict: Verdict | None) -> Iterator[Markup]:
    if verdict is None or not verdict.checks:
        return
    yield tag("h2", "Budget")
    rows = []
    for check in verdict.checks:
        where = f"{check.device}: " if check.device else ""
        advice = [tag("small", f"What would help: {check.advice}")] if check.advice and check.outcome != "pass" else []
        cells = [tag("th", f"{where}{check.metric}", scope="row"), tag("td", badge(check.outcome))]
        rows.append([*cells, tag("td", check.reason, *advice), tag("td", check.place)])
    yield table(["limit", "verdict", "how it stands", "written in"], rows)


def _devices(report: Report) -> Iterator[Markup]:
    yield tag("h2", "Devices side by side")
    yield tag("p", "Each cell: the value, its 95 % interval below, and how it came about when not by a clock there.")
    models = report.models if len(report.devices) == 1 else report.models[:1]
    columns = [(device, model.name) for device in report.devices for model in models]
    heads = [
        tag("th", model if len(report.devices) == 1 else device.device, tag("small", _where(device)), class_="n")
        for device, model in columns
    ]
    rows = []
    for metric in (*_SIDE_BY_SIDE, *(name for name in METRICS if name.endswith("_ratio"))):
        found = [device.find(metric, model) for device, model in columns]
        if not any(one is not None and one.value is not None for one in found):
            continue
        meaning = METRICS[metric].meaning.replace("the reference model", report.reference or "the reference")
        label = tag("th", metric.replace("_", " "), tag("small", meaning), scope="row")
        rows.append([label, *(value_cell(one) for one in found)])
    yield table([tag("th", ""), *heads], rows)


def _how(report: Report) -> Iterator[Markup]:
    yield tag("h2", "How each number was got")
    for device in report.devices:
        machine = device.machine
        facts = [
            f"{key}: {machine[key]}"
            for key in ("cpu", "board", "architecture", "cores", "kernel", "python")
            if key in machine
        ]
        facts += [f"{name} {version}" for name, version in machine.get("libraries", {}).items()]
        facts += [f"{name}: {value}" for name, value in device.limits.items()]
        yield tag("h3", f"{device.device} ({device.target}), fingerprint {device.fingerprint}")
        ended = [run for run in device.runs if run.outcome != "ok"]
        failed = f" {len(ended)} of them did not finish: {ended[-1].outcome}." if ended else ""
        yield tag("p", f"{'; '.join(facts)}. {len(device.runs)} processes, models taking turns.{failed}")
        rows = [
            _how_row(one)
            for one in (*device.measurements, *device.overhead)
            if one.model == report.subject or not one.model
        ]
        yield table(_HOW, rows)
    rows = [_how_row(one) for one in (*report.bundle, *report.quality)]
    if rows:
        yield tag("h3", "Bytes and quality")
        yield table(_HOW, rows)


_HOW = [
    tag("th", "metric"),
    tag("th", "value", class_="n"),
    tag("th", "samples", class_="n"),
    tag("th", "kind"),
    tag("th", "method"),
    tag("th", "stability"),
]


def _how_row(one: Measurement) -> list[str]:
    details = [f"{name.replace('_', ' ')} {value:g}" for name, value in one.details.items()]
    notes = [tag("small", text) for text in (f"source: {one.source}" if one.source else "", "; ".join(details)) if text]
    return [
        tag("th", one.metric, scope="row"),
        value_cell(one),
        tag("td", f"{one.count:,}" if one.count else "", class_="n"),
        tag("td", tag("span", KINDS[one.kind], class_="badge kind") if one.value is not None else ""),
        tag("td", one.method, *notes),
        tag("td", one.stability if one.value is not None else ""),
    ]


def _where(device: DeviceReport) -> str:
    machine = device.machine
    name = machine.get("board") or machine.get("cpu") or device.profile.get("title") or device.target
    return f"{device.target}, {name}"
