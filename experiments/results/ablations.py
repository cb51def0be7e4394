"""Tables of groups of experiments that differ in one thing, and of the studies that belong to them."""

from collections.abc import Iterator

from experiments.records import ExperimentReport, settings_words
from experiments.results.markdown import megabytes, percent, table
from experiments.results.quality import difference, starts
from experiments.results.records import HEADLINE, MODES, Results


def group(results: Results, *, name: str) -> Iterator[str]:
    """Yield title, table and settings of a group of experiments; nothing where the file has no such group."""
    group = next((group for group in results.experiments.group if group.name == name), None)
    if group is None:
        return
    yield f"## {group.title}\n"
    if group.about:
        yield f"{group.about}\n"
    reports = results.of(name)
    if not reports:
        yield f"No report yet (`--only {name}`).\n"
        return
    about = {variant.name: variant.about for variant in group.variants}
    first: dict[str, ExperimentReport] = {}
    rows = []
    for report in reports:
        differs = about[report.variant] or settings_words(report, group.overrides) or "as the recipe"
        rows.append(_row(report, first.setdefault(report.data_set, report), differs))
    noisy = ["symmetric", "bm25"] if all(report.noise for report in reports) else []
    for row, report in zip(rows, reports, strict=True):
        row += [f"{report.noise[name][1]:.3f} ({report.noise[name][2]:.1%})" for name in noisy]
    columns = ["set", "variant", "what differs", "shipped"]
    for mode in MODES:
        columns += [f"nDCG@10, {mode}", f"retention, {mode}", f"{mode}, minus the first row"]
    columns += ["steps", "seconds", *(f"{system.replace('bm25', 'BM25')} with noise" for system in noisy)]
    yield table(columns, rows, left=3)
    settings = (
        f"Settings of all: {', '.join(f'`{override}`' for override in group.overrides)}. " if group.overrides else ""
    )
    yield f"{settings}{starts(reports)}".rstrip() + "\n"
    if name == "ablation-vocabulary":
        yield from (f"![{plot[:-4]}]({plot})\n" for plot in results.plots if plot.startswith("vocabulary"))


def _row(report: ExperimentReport, first: ExperimentReport, differs: str) -> list[str]:
    row = [report.data_set, report.variant, differs, megabytes(report.bytes["shipped"])]
    for mode in MODES:
        row += [
            f"{report.ndcg10[mode][0]:.3f}",
            f"{report.retention[mode][0]:.1%}",
            "" if report is first else difference(report, mode, first, mode),
        ]
    return [*row, f"{report.training['steps']:,.0f}", f"{report.training['seconds']:.0f}"]


def ablations(results: Results) -> Iterator[str]:
    """Yield all groups but the headline and the static students."""
    for name in (group.name for group in results.experiments.group):
        if name not in (HEADLINE, "static"):
            yield from group(results, name=name)
        if name == "ablation-dimension":
            yield from teacher_dimensions(results)


def teacher_dimensions(results: Results) -> Iterator[str]:
    """Yield what the teacher's own vectors lose in fewer dimensions."""
    files = [report for name, report in results.others.items() if name.startswith("teacher-dimensions-")]
    yield "## The teacher itself in fewer dimensions\n"
    if not files:
        yield "No report yet (`python -m experiments.studies.teacher_dimensions`).\n"
        return
    dimensions = sorted({int(size) for report in files for size in report["dimensions"]}, reverse=True)
    rows = []
    for report in files:
        of_set = [report["dimensions"].get(str(size)) for size in dimensions]
        cells = [f"{row['ndcg10'][0]:.3f} ({row['retention'][0]:.1%})" if row else "-" for row in of_set]
        rows.append([report["set"], *cells])
    yield "nDCG@10 (retention) after PCA without centring, fitted on the training texts; no student is involved.\n"
    yield table(["set", *map(str, dimensions)], rows)


def training_minutes(results: Results) -> Iterator[str]:
    """Yield quality against minutes of training, by where training starts."""
    yield "## Pretrain once, specialise in minutes\n"
    names = [name for name in results.plots if name.startswith("minutes")]
    yield from (f"![retention against minutes of training]({name})\n" for name in names)
    if not names:
        yield "No report yet (`python -m experiments.studies.training_minutes`).\n"
        return
    rows = [
        [report["recipe"], row["start"], f"{row['steps']:,}", f"{row['minutes']:.1f}"]
        + [percent([row[mode][key] for key in ("value", "low", "high")]) for mode in MODES]
        for name, report in results.others.items()
        if name.startswith("training-minutes")
        for row in report["rows"]
    ]
    columns = ["recipe", "start", "steps", "minutes", *(f"retention, {mode}" for mode in MODES)]
    yield table(columns, rows, left=2)
    yield "Minutes are of the stage `distill`; steps are exact.\n"
