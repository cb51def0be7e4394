"""The plot of a vocabulary's candidates: bytes, tokens per query, split and unknown words against size."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

_PANELS: tuple[tuple[str, str, str, float], ...] = (  # key of the report, title, format, unit
    ("table_bytes", "token table in int8, kB", "{:,.0f}", 1e3),
    ("tokens_per_query", "tokens per query", "{:.1f}", 1),
    ("split_rate", "words of more than one token", "{:.0%}", 1),
    ("unknown_rate", "unknown words", "{:.3%}", 1),
    ("score", "score (smaller is better)", "{:.2f}", 1),
)
# Colours as matplotlib writes them, and what stands for them in the file: light, dark.
_COLOURS = {
    "#16161a": ("--ink", "#16161a", "#f3f2ee"),
    "#ecebe7": ("--grid", "#ecebe7", "#373733"),
    "#fffffe": ("--back", "#ffffff", "#1e1e1c"),
    "#2a78d6": ("--wordpiece", "#2a78d6", "#3987e5"),
    "#eb6834": ("--unigram", "#eb6834", "#d95926"),
}
_INK, _GRID, _BACK, _WORDPIECE, _OTHER = _COLOURS
_STYLE: "dict[RcKeyType, Any]" = {
    "svg.hashsalt": "pocketrank",  # the same values always give the same bytes
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.facecolor": _BACK,
    "figure.facecolor": _BACK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
}


def vocabulary_plot(kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return an SVG file of the candidates of each kind of tokenizer (`wordpiece`, `unigram`); the chosen has a ring.

    `kinds` holds rows of the table `candidates` of the vocabulary's report, in the order of their sizes.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with matplotlib.rc_context(_STYLE):
        figure = Figure((8.4, 4.6))
        panels = list(figure.subplots(2, 3).flat)
        for (key, title, form, unit), axes in zip(_PANELS, panels, strict=False):
            for kind, rows in sorted(kinds.items(), reverse=True):
                colour = _WORDPIECE if kind == "wordpiece" else _OTHER
                points = [(row["size"], row[key] / unit, row["chosen"]) for row in rows]
                axes.plot(*zip(*(point[:2] for point in points), strict=True), "o-", color=colour, ms=4, label=kind)
                for size, value, _ in filter(lambda point: point[2], points):
                    ring = {"marker": "o", "markersize": 10, "fillstyle": "none", "color": _INK, "clip_on": False}
                    axes.plot(size, value, **ring, gid=f"chosen-{kind}-{key}")
            axes.set(title=title, xlabel="tokens")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form.format(value)))
            if key == "unknown_rate":
                axes.set_ylim(0, max(axes.dataLim.y1 * 1.1, 1e-4))
        panels[-1].axis("off")
        handles, labels = panels[0].get_legend_handles_labels()
        panels[-1].legend(handles, labels, loc="center left", title="ring: the chosen size")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _themed(stream.getvalue()).encode("utf-8")


def _themed(svg: str) -> str:
    """Let the colours of a plot follow the reader's light or dark scheme."""
    light, dark = ("".join(f"{entry[0]}:{entry[place]};" for entry in _COLOURS.values()) for place in (1, 2))
    for colour, (name, *_) in _COLOURS.items():
        svg = svg.replace(colour, f"var({name})")
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return svg.replace("<defs>", f"{style}<defs>", 1)
