"""The plots of docs/results as SVG; the same figures always give the same bytes."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation, Transform

from experiments.records import ExperimentReport
from experiments.results.records import HEADLINE, MODES, Results

_STYLE: Any = {
    "svg.hashsalt": "pocketrank",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#7f7f7f",
)  # Okabe and Ito: distinct for colour-blind readers too
_LEVELS = {"bm25": "BM25", "teacher": "teacher", "fusion_teacher": "teacher + BM25"}
_LABEL_HEIGHT = 0.05  # of the axes: labels at the right edge are no nearer than this
_RING: dict[str, Any] = {"markersize": 9, "fillstyle": "none", "linestyle": "none"}
_VOCABULARY: tuple[tuple[str, str, str], ...] = (
    ("table_bytes", "token table in int8, MB", "{:.1f}"),
    ("tokens_per_query", "tokens a query", "{:.1f}"),
    ("split_rate", "words of more than one token", "{:.0%}"),
    ("unknown_rate", "unknown words", "{:.4%}"),
    ("score", "score (smaller is better)", "{:.2f}"),
)


def bytes_plots(results: Results) -> dict[str, bytes]:
    """Return nDCG@10 against shipped bytes, a plot for every set that has a student."""
    sets = dict.fromkeys(report.data_set for report in results.of(HEADLINE) if report.seed == 1)
    return {
        f"bytes-{name}.svg": _svg(7.6, 4.4, lambda figure, name=name: _bytes(figure, results, name)) for name in sets
    }


def _bytes(figure: Figure, results: Results, name: str) -> None:
    axes = figure.subplots()
    axes.set_xscale("log")
    reports = [report for report in results.of(HEADLINE) if report.data_set == name and report.seed == 1]
    systems = results.baselines.get(name, {}).get("systems", {})
    for prefix, title, colour in (
        ("model2vec", "model2vec of the same teacher", _COLOURS[2]),
        ("teacher_int8", "teacher in int8", _COLOURS[3]),
    ):
        shown = [system for key, system in systems.items() if key.startswith(prefix) and system.get("bytes")]
        rows = [(system["bytes"] / 1e6, *system["ndcg10"]) for system in shown]
        _points(axes, rows, title, colour)
    main = {target.variant for target in results.notes.target}
    for number, mode in enumerate(MODES):
        shift = ScaledTranslation(number * 5 / 72, 0, figure.dpi_scale_trans)  # so that the bars of both are seen
        for joined in (True, False):
            own = [report for report in reports if (report.variant in main) == joined]
            rows = sorted((report.bytes["shipped"] / 1e6, *report.ndcg10[mode]) for report in own)
            title = f"student, {mode}" if joined else ""
            line = "-" if joined else "none"
            _points(axes, rows, title, _COLOURS[number], line, axes.transData + shift, hollow=not joined)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} MB"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=f"{name}: nDCG@10 of what is shipped", xlabel="model and tokenizer", ylabel="nDCG@10")
    axes.margins(x=0.09)
    for report in reports:
        place = (report.bytes["shipped"] / 1e6, report.ndcg10["asymmetric"][0])
        _label(axes, report.variant, place, (-5, 7 if report.variant in main else -8), "right")
    levels = {_LEVELS[key]: figures[0] for key, figures in reports[0].ndcg10.items() if key in _LEVELS}
    _levels(axes, levels)
    figure.legend(loc="outside lower center", ncols=2)


def vocabulary_plots(results: Results) -> dict[str, bytes]:
    """Return what each size of vocabulary costs, by kind, and what the students with them reach."""
    reports = results.of("ablation-vocabulary")
    plots = {}
    for name in dict.fromkeys(report.data_set for report in reports):
        own = [report for report in reports if report.data_set == name]
        kinds = _candidates(own)
        chosen = _chosen(results.find("2.5mb", name))
        plots[f"vocabulary-{name}.svg"] = _svg(
            8.4, 4.6, lambda figure, kinds=kinds, chosen=chosen: _vocabulary(figure, kinds, chosen)
        )
        plots[f"vocabulary-quality-{name}.svg"] = _svg(
            7.6, 3.8, lambda figure, name=name, own=own: _vocabulary_quality(figure, name, own)
        )
    return plots


def _candidates(reports: Sequence[ExperimentReport]) -> dict[str, list[dict[str, Any]]]:
    """Return the measured candidates by kind of tokenizer, in the order of their sizes."""
    kinds: dict[str, dict[int, dict[str, Any]]] = {}
    for report in reports:
        for row in report.vocabulary["candidates"]:
            kinds.setdefault(report.vocabulary["kind"], {})[row["size"]] = row
    return {kind: [rows[size] for size in sorted(rows)] for kind, rows in sorted(kinds.items(), reverse=True)}


def _chosen(report: ExperimentReport | None) -> tuple[str, int] | None:
    """Return kind and size of the vocabulary of a report."""
    rows = report.vocabulary["candidates"] if report else []
    sizes = [row["size"] for row in rows if row["chosen"]]
    return (report.vocabulary["kind"], sizes[0]) if report and sizes else None


def _vocabulary(figure: Figure, kinds: dict[str, list[dict[str, Any]]], chosen: tuple[str, int] | None) -> None:
    grid = figure.subplots(2, 3).flat
    for (key, title, form), axes in zip(_VOCABULARY, grid, strict=False):
        scale = 1e6 if key == "table_bytes" else 1
        for number, (kind, rows) in enumerate(kinds.items()):
            sizes, values = [row["size"] for row in rows], [row[key] / scale for row in rows]
            axes.plot(sizes, values, "o-", color=_COLOURS[number], markersize=4, label=kind)
            ring = [position for position, size in enumerate(sizes) if (kind, size) == chosen]
            axes.plot([sizes[at] for at in ring], [values[at] for at in ring], "o", color="black", **_RING)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form.format(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k"))
        axes.set(title=title, xlabel="tokens")
        if key == "unknown_rate":
            axes.set_ylim(bottom=0)
    last = figure.axes[-1]
    last.axis("off")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    last.legend(handles, labels, loc="center left", title="ring: chosen by the recipe" if chosen else None)


def _vocabulary_quality(figure: Figure, name: str, reports: Sequence[ExperimentReport]) -> None:
    axes = figure.subplots()
    kinds = [kind for kind in ("wordpiece", "unigram") if any(one.vocabulary["kind"] == kind for one in reports)]
    for number, (kind, mode) in enumerate((kind, mode) for kind in kinds for mode in MODES):
        own = [report for report in reports if report.vocabulary["kind"] == kind]
        rows = sorted((report.bytes["shipped"] / 1e6, *report.ndcg10[mode]) for report in own)
        _points(axes, rows, f"{kind}, {mode}", _COLOURS[number], "-" if len(rows) > 1 else "none")
    for report in reports:
        place = (report.bytes["shipped"] / 1e6, report.ndcg10["asymmetric"][1])
        if report.vocabulary["kind"] == kinds[0]:
            _label(axes, f"{report.student['vocab_size']:,} tokens", place, (0, -7), "center")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f} MB"))
    axes.margins(x=0.12, y=0.1)
    axes.set(title=f"{name}: nDCG@10 by vocabulary, short training", xlabel="model and tokenizer", ylabel="nDCG@10")
    figure.legend(loc="outside lower center", ncols=2)


def minutes_plots(results: Results) -> dict[str, bytes]:
    """Return retention against training minutes, from the reports `training-minutes*.json`."""
    plots = {}
    for name, report in results.others.items():
        if name.startswith("training-minutes"):
            plots[f"minutes{name.removeprefix('training-minutes')}.svg"] = _svg(
                7.6, 4.0, lambda figure, report=report: _minutes(figure, report)
            )
    return plots


def _minutes(figure: Figure, report: dict[str, Any]) -> None:
    axes = figure.subplots()
    rows = report["rows"]
    for number, start in enumerate(dict.fromkeys(row["start"] for row in rows)):
        for mode, line in zip(MODES, ("-", "--"), strict=True):
            points = [
                (row["minutes"], *(row[mode][key] for key in ("value", "low", "high")))
                for row in rows
                if row["start"] == start
            ]
            _points(axes, sorted(points), f"from {start}, {mode}", _COLOURS[number], line)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set(title=f"{report['recipe']}: retention by start", xlabel="minutes of training", ylabel="retention")
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=2)


def _points(
    axes: Axes,
    rows: Sequence[tuple[float, ...]],
    title: str,
    colour: str,
    line: str = "none",
    transform: Transform | None = None,
    hollow: bool = False,
) -> None:
    """Draw (x, value, low, high) with bars for the intervals."""
    if not rows:
        return
    x, y, low, high = ([row[column] for row in rows] for column in range(4))
    transform = transform or axes.transData
    axes.vlines(x, low, high, color=colour, alpha=0.35, linewidth=1.5, transform=transform)
    axes.plot(
        *(x, y, "o"),
        color=colour,
        linestyle=line,
        markersize=4.5,
        fillstyle="none" if hollow else "full",
        label=title or "_nolegend_",
        transform=transform,
    )
    axes.update_datalim([*zip(x, low, strict=True), *zip(x, high, strict=True)])  # shifted points do not count else
    axes.autoscale_view()


def _label(axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], side: str) -> None:
    """Write `text` beside a point, `offset` points away."""
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
    axes.annotate(
        text, place, offset, textcoords="offset points", fontsize=7.5, ha=side, va="center", bbox=box, zorder=4
    )


def _levels(axes: Axes, levels: dict[str, float]) -> None:
    """Draw horizontal lines, their names at the right edge, moved up where they would overlap."""
    low, high = axes.get_ylim()
    lowest = -1.0
    for title, level in sorted(levels.items(), key=lambda item: item[1]):
        axes.axhline(level, color=_COLOURS[4], linestyle="--", linewidth=1, zorder=1)
        lowest = max((level - low) / (high - low), lowest + _LABEL_HEIGHT)
        axes.annotate(title, (1, lowest), (4, 0), "axes fraction", "offset points", va="center", color="#555555")
    axes.set_ylim(low, high)


def _svg(width: float, height: float, draw: Callable[[Figure], None]) -> bytes:
    """Return what `draw` puts on a figure of so many inches."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure((width, height))
        draw(figure)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
