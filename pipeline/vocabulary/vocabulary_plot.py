"""The plot of a vocabulary's candidates: bytes, tokens a query, split and unknown words against size."""

from collections.abc import Mapping, Sequence
from typing import Any

from .plot import Format, Panel, Point, Series, svg

_PANELS: tuple[tuple[str, str, Format], ...] = (
    ("table_bytes", "bytes of the token table, 8 bits a weight", lambda value: f"{value / 1e6:.2f} MB"),
    ("tokens_per_query", "tokens a query", lambda value: f"{value:.1f}"),
    ("split_rate", "words in more than one piece", lambda value: f"{value:.0%}"),
    ("unknown_rate", "unknown words", lambda value: f"{value:.3%}"),
    ("score", "score of the rule (smaller is better)", lambda value: f"{value:.2f}"),
)


def vocabulary_plot(kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return an SVG of the candidates of each kind (`wordpiece`, `unigram`); the chosen one has a ring.

    `kinds` holds rows of the table `candidates` of the vocabulary's report.
    """
    panels = []
    for key, title, shown in _PANELS:
        series = tuple(
            Series(
                kind,
                tuple(Point(row["size"], row[key], marked=bool(row["chosen"])) for row in rows),
                colour=1 if kind == "wordpiece" else 2,
            )
            for kind, rows in sorted(kinds.items(), reverse=True)
        )
        panels.append(Panel(title, "pieces", series, y_format=shown, from_zero=key == "unknown_rate"))
    return svg(panels, width=400, height=260, columns=2)
