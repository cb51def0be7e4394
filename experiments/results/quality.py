"""Tables of the headline: targets, students, spread over seeds, differences query by query, storage, hybrid search."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from experiments.figures import paired_difference
from experiments.records import ExperimentReport
from experiments.results.markdown import interval, megabytes, percent, table, verdict
from experiments.results.records import HEADLINE, MODES, Results

STORAGE = {
    "symmetric": "float32",
    "symmetric_int8": "int8",
    "symmetric_binary": "bits, the best 500 rescored in int8",
    "symmetric_binary_unrescored": "bits alone",
}
HYBRID = {"hybrid_asymmetric": "teacher", "hybrid_symmetric": "bundle"}  # system -> who encoded the documents
_OTHER_STARTS = ("student.initialise=teacher", "student.initialise=random", "student.kind=static")


def starts(reports: Sequence[ExperimentReport]) -> str:
    """Return which general students the reports started from; nothing where none did."""
    names: dict[str, list[str]] = {}
    for report in reports:
        if not any(override.startswith(_OTHER_STARTS) for override in report.overrides):
            names.setdefault(report.start, []).append(f"{report.data_set} {_variant(report)}")
    whole = len(names) == 1 and sum(map(len, names.values())) == len(reports)
    return " ".join(
        f"{'All' if whole else ', '.join(own)}: from the general student {start or 'before this one'}."
        for start, own in sorted(names.items(), reverse=True)
    )


def _variant(report: ExperimentReport) -> str:
    return report.variant + (f" (seed {report.seed})" if report.seed != 1 else "")


def difference(report: ExperimentReport, system: str, other: ExperimentReport, against: str) -> str:
    """Return the difference of two systems with its interval; "n.s." where the interval holds 0."""
    first, second = report.figures(system), other.figures(against)
    if first is None or second is None or report.queries_sha256 != other.queries_sha256:
        return "-"
    mean, low, high = paired_difference(first, second)
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{'' if low > 0 or high < 0 else ' n.s.'}"


def targets(results: Results) -> Iterator[str]:
    """Yield the sizes that are aimed at, and whether they are reached."""
    yield "## Targets\n"
    rows = []
    for target in results.notes.target:
        reports = {name: results.find(target.variant, name) for name in target.sets}
        there = {name: report for name, report in reports.items() if report is not None}
        size = max((report.bytes["shipped"] for report in there.values()), default=0)
        cells = [f"at most {megabytes(target.bytes)}", target.variant, megabytes(size) if there else "-"]
        for mode in MODES:
            wanted = getattr(target, mode)
            mean = float(np.mean([report.retention[mode][0] for report in there.values()])) if there else None
            cells += [f"{wanted:.0%}", f"{mean:.1%}" if mean is not None else "-", verdict(mean, wanted)]
        missing = [name for name in reports if name not in there]
        note = ", ".join(there) + (f" (missing: {', '.join(missing)})" if missing else "")
        note += " **over the limit**" if size > target.bytes else ""
        rows.append([*cells, note])
    columns = ["size", "variant", "largest"]
    for mode in MODES:
        columns += [f"target, {mode}", "mean retention", ""]
    yield table([*columns, "sets of the mean"], rows, left=2)


def students(results: Results) -> Iterator[str]:
    """Yield every student of the headline, and where it came from."""
    yield "## The shipped students\n"
    reports = results.of(HEADLINE)
    if not reports:
        yield "No report yet.\n"
        return
    columns = ["set", "variant", "shipped", "teacher", "BM25"]
    for mode in MODES:
        columns += [f"nDCG@10, {mode}", f"retention, {mode}"]
    rows = []
    for report in reports:
        row = [
            report.data_set,
            _variant(report),
            megabytes(report.bytes["shipped"]),
            f"{report.ndcg10['teacher'][0]:.3f}",
            f"{report.ndcg10['bm25'][0]:.3f}" if "bm25" in report.ndcg10 else "-",
        ]
        for mode in MODES:
            row += [interval(report.ndcg10[mode]), percent(report.retention[mode])]
        rows.append([*row, f"{report.training['steps']:,.0f}", f"{report.training['seconds'] / 60:.0f}"])
    yield table([*columns, "steps", "training, minutes"], rows, left=2)
    variants = {variant.name: variant.about for variant in results.group(HEADLINE).variants if variant.about}
    yield "; ".join(f"{name}: {about}" for name, about in variants.items()) + ".\n"
    yield f"{starts(reports)}\n"


def machines(reports: Sequence[ExperimentReport]) -> str:
    """Return processors and library versions of the reports."""
    names = Counter(f"{report.machine['processor']}, {report.machine['cores']} cores" for report in reports)
    versions = sorted({f"{name} {report.versions[name]}" for report in reports for name in ("torch", "onnxruntime")})
    return f"{'; '.join(names)}; {', '.join(versions)}"


def curves(results: Results) -> Iterator[str]:
    """Yield the plots of quality against bytes."""
    names = [name for name in results.plots if name.startswith("bytes-")]
    if names:
        yield "## nDCG@10 against shipped bytes\n"
        yield "Bars: 95 % intervals. The line joins the variants of the targets.\n"
        yield from (f"![nDCG@10 against bytes, {name[6:-4]}]({name})\n" for name in names)


def seeds(results: Results) -> Iterator[str]:
    """Yield how much students differ that were trained with different seeds."""
    yield "## Spread over seeds\n"
    repeated: dict[tuple[str, str], list[ExperimentReport]] = {}
    for report in results.of(HEADLINE):
        repeated.setdefault((report.data_set, report.variant), []).append(report)
    repeated = {key: reports for key, reports in repeated.items() if len(reports) > 1}
    rows = []
    for (name, variant), reports in repeated.items():
        for mode in MODES:
            values = np.array([report.ndcg10[mode][0] for report in reports])
            retention = np.array([report.retention[mode][0] for report in reports])
            rows.append(
                [
                    *(name, variant, mode, ", ".join(f"{value:.4f}" for value in values)),
                    f"{values.mean():.4f} ± {values.std(ddof=1):.4f}",
                    f"{retention.mean():.1%} ± {100 * retention.std(ddof=1):.1f} points",
                    f"{len(reports)}",
                ]
            )
    columns = ["set", "variant", "mode", "nDCG@10 of each seed", "mean ± standard deviation", "retention", "seeds"]
    yield table(columns, rows, left=3) if rows else "No set has been run with more than one seed yet.\n"
    for (name, variant), reports in repeated.items():
        if len({report.start for report in reports}) > 1:
            origins = ", ".join(f"seed {report.seed} from {report.start or 'the one before'}" for report in reports)
            yield f"{name} {variant} started from different general students ({origins}): the spread is of both.\n"


def significance(results: Results) -> Iterator[str]:
    """Yield the paired differences of students to the teacher, BM25 and other baselines."""
    yield "## Differences, query by query\n"
    reports = [report for report in results.of(HEADLINE) if report.seed == 1]
    further = sorted({name for report in reports for name in report.per_query if name not in report.ndcg10})
    others = {"teacher": "teacher", "bm25": "BM25"} | {name: name for name in further}
    rows = [
        [report.data_set, report.variant, mode, *(difference(report, mode, report, other) for other in others)]
        for report in reports
        for mode in MODES
    ]
    if rows:
        yield "nDCG@10 of the student minus that of the other system on the same queries, paired bootstrap.\n"
        yield table(["set", "variant", "mode", *(f"minus {name}" for name in others.values())], rows, left=3)
    else:
        yield "No report yet.\n"


def storage(results: Results) -> Iterator[str]:
    """Yield what symmetric search loses with document vectors in int8 and in bits."""
    rows = [
        [report.data_set, report.variant, *(f"{report.retention[name][0]:.1%}" for name in STORAGE)]
        for report in results.of(HEADLINE)
        if report.seed == 1 and STORAGE.keys() <= report.retention.keys()
    ]
    if rows:
        yield "## Document vectors in int8 and in bits\n"
        yield "Retention, symmetric, by how the index stores the document vectors.\n"
        yield table(["set", "variant", *STORAGE.values()], rows, left=2)


def hybrid(results: Results) -> Iterator[str]:
    """Yield what hybrid search on the device reaches."""
    target = results.notes.hybrid
    reports = [
        report for name in results.group(HEADLINE).sets if (report := results.find(target.variant, name)) is not None
    ]
    reports = [report for report in reports if HYBRID.keys() <= report.retention.keys()]
    if not reports:
        yield f"No report yet; the target is {target.target:.0%} of the teacher alone.\n"
        return
    columns = ["set"]
    for mode in MODES:
        columns += ["weight of BM25", f"{mode} + BM25", f"retention, {mode} + BM25"]
    rows = []
    for report in reports:
        cells = [report.data_set]
        for system, documents in HYBRID.items():
            weight = report.bm25_weight.get(documents)
            cells += ["0.4 (default)" if weight is None else f"{weight:g}"]
            cells += [f"{report.ndcg10[system][0]:.3f}", percent(report.retention[system])]
        rows.append([*cells, f"{report.ndcg10['fusion_teacher'][0]:.3f}", percent(report.retention["fusion_teacher"])])
    means = [float(np.mean([report.retention[system][0] for report in reports])) for system in HYBRID]
    cells = [("", "", f"{mean:.1%} ({verdict(mean, target.target)})") for mean in means]
    rows.append(["mean", *(cell for of_system in cells for cell in of_system), "", ""])
    yield table([*columns, "teacher + BM25", "retention, teacher + BM25"], rows)
    yield (
        f"The target is {target.target:.0%} of the teacher alone, with the students {target.variant}. The first two "
        "are what `pocketrank search --hybrid` does on an index of the teacher's document vectors and on one that the "
        "bundle encoded, with the weight that was chosen on judged training queries held back from training; the last "
        "is the plain sum of scores standardised over all documents.\n"
    )
