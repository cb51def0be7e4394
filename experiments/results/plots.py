"""The plots of docs/results.md."""

from collections.abc import Iterator
from typing import Any

from pocketrank.pipeline.vocabulary.plot import Panel, Point, Series, svg
from pocketrank.pipeline.vocabulary.vocabulary_plot import vocabulary_plot

from experiments.results.records import HEADLINE, Results

_LEVELS = {"bm25": "BM25", "teacher": "teacher", "fusion_teacher": "teacher + BM25"}


def bytes_plots(found: Results) -> dict[str, bytes]:
    """Return nDCG@10 against shipped bytes, a plot a set that has a student."""
    return {
        f"bytes-{name}.svg": svg([_bytes_panel(found, name)], width=760, height=440)
        for name in found.group(HEADLINE).sets
        if any(one.data_set == name for one in found.of(HEADLINE))
    }


def _bytes_panel(found: Results, name: str) -> Panel:
    ours = [one for one in found.of(HEADLINE) if one.data_set == name and one.seed == 1]
    main = {target.variant for target in found.notes.target}
    series = [
        Series(
            f"student, {way}" if joined else "",
            tuple(
                Point(one.bytes["shipped"], *one.ndcg10[way], label=one.variant if way == "asymmetric" else "")
                for one in ours
                if (one.variant in main) == joined
            ),
            joined,
            colour,
        )
        for way, colour in (("asymmetric", 1), ("symmetric", 3))
        for joined in (True, False)
    ]
    systems = found.baselines.get(name, {}).get("systems", {})
    for prefix, title, colour in (
        ("model2vec", "model2vec of the same teacher", 2),
        ("teacher_int8", "teacher int8", 5),
    ):
        baselines = tuple(
            Point(system["bytes"], *system["ndcg10"])
            for key, system in systems.items()
            if key.startswith(prefix) and system.get("bytes")
        )
        if baselines:
            series.append(Series(title, baselines, joined=False, colour=colour))
    levels = {key: figures[0] for key, figures in ours[0].ndcg10.items() if key in _LEVELS}
    return Panel(
        f"{name}: nDCG@10 of what is shipped",
        "bytes of model and tokenizer",
        tuple(series),
        x_format=lambda value: f"{value / 1e6:.3g} MB",
        y_format=lambda value: f"{value:.2f}",
        levels=tuple((_LEVELS[key], level) for key, level in levels.items()),
        logarithmic=True,
    )


def vocabulary_plots(found: Results) -> dict[str, bytes]:
    """Return what each size of vocabulary costs, by kind, and what the students with them reach."""
    reports = found.of("ablation-vocabulary")
    plots = {}
    for name in dict.fromkeys(one.data_set for one in reports):
        here = [one for one in reports if one.data_set == name]
        kinds: dict[str, dict[int, Any]] = {}
        for one in here:
            for row in one.vocabulary["candidates"]:
                kinds.setdefault(one.vocabulary["kind"], {})[row["size"]] = row | {"chosen": False}
        chosen = found.find("2.5mb", name)
        for row in chosen.vocabulary["candidates"] if chosen else ():
            rows = kinds.get(chosen.vocabulary["kind"], {})
            if row["chosen"] and row["size"] in rows:
                rows[row["size"]] |= {"chosen": True}
        sorted_rows = {kind: [rows[size] for size in sorted(rows)] for kind, rows in kinds.items()}
        plots[f"vocabulary-{name}.svg"] = vocabulary_plot(sorted_rows)
        plots[f"vocabulary-quality-{name}.svg"] = svg([_quality_panel(name, here)], width=760, height=380)
    return plots


def _quality_panel(name: str, reports: list[Any]) -> Panel:
    series = []
    for number, (kind, way) in enumerate(
        (kind, way) for kind in ("wordpiece", "unigram") for way in ("asymmetric", "symmetric")
    ):
        points = tuple(
            Point(one.bytes["shipped"], *one.ndcg10[way], label=f"{one.student['vocab_size']:,}" if number == 0 else "")
            for one in reports
            if one.vocabulary["kind"] == kind
        )
        if points:
            series.append(Series(f"{kind}, {way}", points, colour=number + 1))
    return Panel(
        f"{name}: nDCG@10 by vocabulary, short training",
        "bytes of model and tokenizer",
        tuple(series),
        x_format=lambda value: f"{value / 1e6:.2f} MB",
        y_format=lambda value: f"{value:.2f}",
    )


def minutes_plot(found: Results) -> dict[str, bytes]:
    """Return quality against training minutes, from the reports `training-minutes*.json`.

    Each has rows with start, minutes, symmetric and asymmetric: shares of the teacher's nDCG@10, with intervals or not.
    """
    plots = {}
    for name, report in found.others.items():
        if name.replace("_", "-").startswith("training-minutes") and (rows := list(_minute_rows(report))):
            starts = list(dict.fromkeys(row["start"] for row in rows))
            series = tuple(
                Series(
                    f"{start}, {way}",
                    tuple(
                        Point(row["minutes"], *_share(row[way])) for row in rows if row["start"] == start and way in row
                    ),
                    colour=2 * number + offset + 1,
                )
                for number, start in enumerate(starts[:3])
                for offset, way in enumerate(("asymmetric", "symmetric"))
            )
            panel = Panel(
                f"{report.get('set') or report.get('recipe', '')}: share of the teacher's nDCG@10",
                "minutes of training",
                tuple(one for one in series if one.points),
                y_format=lambda value: f"{value:.0%}",
            )
            plots[f"minutes{name.replace('_', '-').removeprefix('training-minutes')}.svg"] = svg([panel], 760, 400)
    return plots


def _minute_rows(report: Any) -> Iterator[dict[str, Any]]:
    rows = report.get("rows", []) if isinstance(report, dict) else []
    for row in rows:
        if {"start", "minutes"} <= row.keys() and ("symmetric" in row or "asymmetric" in row):
            yield row


def _share(figure: Any) -> tuple[float, ...]:
    return (figure["value"], figure["low"], figure["high"]) if isinstance(figure, dict) else (figure,)
