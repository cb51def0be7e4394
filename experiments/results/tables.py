"""The tables of docs/results.md."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from experiments.records import ExperimentReport, Group, settings_words
from experiments.results.context import beside, starts, stored_vectors
from experiments.results.further import further_sections, interval, table
from experiments.results.records import HEADLINE, Results

RESAMPLES = 2000
PAIRED_WITH = {"teacher": "teacher", "bm25": "BM25"}


def sections(found: Results, folder: str, plots: Sequence[str]) -> Iterator[str]:
    """Yield the document, a block at a time."""
    yield _OPENING
    yield from _targets(found)
    yield from _headline(found)
    yield from _hybrid(found)
    yield from stored_vectors(found)
    yield from _curve(found, folder, plots)
    yield from _baselines(found)
    yield from _seeds(found)
    yield from _significance(found)
    for group in found.experiments.group:
        if group.name != HEADLINE:
            yield from _group(found, group)
            if group.name == "ablation-vocabulary":
                yield from (f"![vocabulary]({folder}/{name})\n" for name in plots if name.startswith("vocabulary"))
    yield from _dimensions(found)
    yield from _minutes(found, folder, plots)
    yield from further_sections(found.others)
    yield from _notes(found)
    yield from _missing(found)


_OPENING = """# Results

Written by `python -m experiments.results.write` from the reports in `experiments/reports/`, which
`python -m experiments.run --data DATA` makes. All students are measured as they are shipped: the
quantized ONNX file, run by ONNX Runtime. nDCG@10 with 95 % bootstrap intervals over queries. *Asymmetric*: the student
encodes the query, the teacher encoded the documents. *Symmetric*: the student encodes both. Retention is the share of
the teacher's nDCG@10 on the same queries. It can pass 100 %: where a set has judged training queries, students learn
from them too, and the teacher never did; `2.5mb-unjudged` is distillation alone, and a table below looks at the test
queries whose documents training did not know. SciFact is its test split, all others are dev splits. Bytes are those of
the ONNX file and `tokenizer.json` together. [distillation.md](distillation.md) says which settings were chosen in view
of which queries.
"""


def percent(values: Sequence[float] | None) -> str:
    """Return a share with its interval."""
    return f"{values[0]:.1%} [{values[1]:.1%}, {values[2]:.1%}]" if values else "-"


def megabytes(size: float) -> str:
    """Return bytes in millions."""
    return f"{size / 1e6:.2f} MB"


def _targets(found: Results) -> Iterator[str]:
    yield "## Targets\n"
    rows = []
    for target in found.notes.target:
        reports = {name: found.find(target.variant, name) for name in target.sets}
        there = {name: one for name, one in reports.items() if one is not None}
        size = max((one.bytes["shipped"] for one in there.values()), default=0)
        cells = [f"at most {megabytes(target.bytes)}", target.variant, megabytes(size) if there else "-"]
        for way in ("asymmetric", "symmetric"):
            wanted = getattr(target, way)
            mean = float(np.mean([one.retention[way][0] for one in there.values()])) if there else None
            verdict = "-" if mean is None else ("reached" if mean >= wanted else f"{100 * (mean - wanted):+.1f} points")
            cells += [f"{wanted:.0%}", f"{mean:.1%}" if mean is not None else "-", verdict]
        missing = [name for name, one in reports.items() if one is None]
        note = ", ".join(there) + (f" (missing: {', '.join(missing)})" if missing else "")
        note += " **over the limit**" if size > target.bytes else ""
        rows.append([*cells, note])
    columns = ["size", "variant", "largest", "asym. target", "mean", "", "sym. target", "mean", "", "sets of the mean"]
    yield table(columns, rows, left=2)


def _headline(found: Results) -> Iterator[str]:
    yield "## The shipped students\n"
    rows = []
    for one in found.of(HEADLINE):
        rows.append(
            [
                one.data_set,
                one.variant + (f", seed {one.seed}" if one.seed != 1 else ""),
                megabytes(one.bytes["shipped"]),
                f"{one.ndcg10['teacher'][0]:.3f}",
                f"{one.ndcg10['bm25'][0]:.3f}" if "bm25" in one.ndcg10 else "-",
                interval(one.ndcg10["asymmetric"]),
                percent(one.retention["asymmetric"]),
                interval(one.ndcg10["symmetric"]),
                percent(one.retention["symmetric"]),
                f"{one.training['steps']:,.0f}",
                f"{one.training['seconds'] / 60:.0f}",
            ]
        )
    if not rows:
        yield "No report yet.\n"
        return
    columns = ["set", "variant", "shipped", "teacher", "BM25", "asymmetric", "kept", "symmetric", "kept"]
    yield table([*columns, "steps", "training, minutes"], rows, left=2)
    variants = {one.name: one.about for one in found.group(HEADLINE).variants if one.about}
    yield "; ".join(f"{name}: {about}" for name, about in variants.items()) + ".\n"
    yield from beside(found, found.group(HEADLINE).sets)
    yield _machines(found.of(HEADLINE))


def _machines(reports: Sequence[ExperimentReport]) -> str:
    machines = Counter(f"{one.machine['processor']}, {one.machine['cores']} cores" for one in reports)
    versions = sorted({f"{name} {one.versions[name]}" for one in reports for name in ("torch", "onnxruntime")})
    return (
        f"Made on {'; '.join(machines)}; {', '.join(versions)}. Other work ran beside it: minutes are upper bounds. "
        f"{starts(reports)}\n"
    )


HYBRID = {"hybrid_asymmetric": "teacher", "hybrid_symmetric": "bundle"}


def _hybrid(found: Results) -> Iterator[str]:
    yield "## With BM25 on the device\n"
    target = found.notes.hybrid
    there = [one for name in found.group(HEADLINE).sets if (one := found.find(target.variant, name))]
    there = [one for one in there if HYBRID.keys() <= one.retention.keys()]
    if not there:
        yield f"No report yet; the target is {target.target:.0%} of the teacher alone.\n"
        return
    rows = []
    for one in there:
        cells = [one.data_set]
        for system, documents in HYBRID.items():
            weight = one.bm25_weight.get(documents)
            cells += ["0.4 (default)" if weight is None else f"{weight:g}"]
            cells += [f"{one.ndcg10[system][0]:.3f}", percent(one.retention[system])]
        cells += [f"{one.ndcg10['fusion_teacher'][0]:.3f}", percent(one.retention["fusion_teacher"])]
        rows.append(cells)
    means = {system: float(np.mean([one.retention[system][0] for one in there])) for system in HYBRID}
    verdicts = [
        f"{mean:.1%} ({'reached' if mean >= target.target else f'{100 * (mean - target.target):+.1f} points'})"
        for mean in means.values()
    ]
    rows.append(["mean", *(cell for verdict in verdicts for cell in ("", "", verdict)), "", ""])
    columns = ["set"]
    for ways in ("asymmetric + BM25", "symmetric + BM25"):
        columns += ["weight of BM25", ways, "of the teacher alone"]
    yield table([*columns, "teacher + BM25", "of the teacher alone"], rows)
    yield (
        f"The target is {target.target:.0%} of the teacher alone. The first two are what `pocketrank search --hybrid` "
        "does on an index of the teacher's document vectors and on one that the bundle encoded, with the weight "
        "that was chosen on judged training queries held back from training; the last is the plain sum of scores "
        "standardised over all documents.\n"
    )


def _curve(found: Results, folder: str, plots: Sequence[str]) -> Iterator[str]:
    curves = [name for name in plots if name.startswith("bytes-")]
    if curves:
        yield "## Quality against shipped bytes\n"
        yield from (f"![{name}]({folder}/{name})\n" for name in curves)


def _baselines(found: Results) -> Iterator[str]:
    yield "## What else could be shipped\n"
    if not found.baselines:
        yield "No report yet (`experiments/reports/baselines-<set>.json`).\n"
    for name, one in found.baselines.items():
        rows = [
            [
                system["method"],
                megabytes(system["bytes"]) if system.get("bytes") else "-",
                interval(system["ndcg10"]),
                percent(system.get("ndcg10_retention")),
            ]
            for system in one["systems"].values()
        ]
        yield f"### {name}, {one['split']}: {one['documents']:,} documents, {one['queries']:,} queries\n"
        yield table(["system", "bytes", "nDCG@10", "of the teacher"], rows)
        for left_out, why in one.get("left_out", {}).items():
            yield f"Left out: {left_out} ({why}).\n"


def _seeds(found: Results) -> Iterator[str]:
    yield "## Spread over seeds\n"
    rows = []
    repeated: dict[tuple[str, str], list[ExperimentReport]] = {}
    for one in found.of(HEADLINE):
        repeated.setdefault((one.data_set, one.variant), []).append(one)
    for (name, variant), reports in repeated.items():
        if len(reports) > 1:
            for way in ("asymmetric", "symmetric"):
                values = np.array([one.ndcg10[way][0] for one in reports])
                kept = np.array([one.retention[way][0] for one in reports])
                cells = [
                    ", ".join(f"{value:.4f}" for value in values),
                    f"{values.mean():.4f} ± {values.std(ddof=1):.4f}",
                ]
                cells += [f"{kept.mean():.1%} ± {100 * kept.std(ddof=1):.1f} points", f"{len(reports)}"]
                rows.append([name, variant, way, *cells])
    columns = ["set", "variant", "documents", "nDCG@10 of each seed", "mean ± standard deviation", "kept", "seeds"]
    yield table(columns, rows, left=3) if rows else "No set has been run with more than one seed yet.\n"
    for (name, variant), reports in repeated.items():
        if len({one.start for one in reports}) > 1:
            of_start = ", ".join(f"seed {one.seed} from {one.start or 'the one before'}" for one in reports)
            yield f"{name} {variant} started from different general students ({of_start}): the spread is of both.\n"


@cache
def paired(first: bytes, second: bytes) -> tuple[float, float, float]:
    """Return the mean difference of two lists of figures of the same queries and its paired bootstrap interval."""
    difference = np.frombuffer(first) - np.frombuffer(second)
    dice = np.random.default_rng(1)
    rows = dice.integers(0, len(difference), (RESAMPLES, len(difference)))
    low, high = np.quantile(difference[rows].mean(1), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def difference(one: ExperimentReport, system: str, other: ExperimentReport, against: str) -> str:
    """Return the difference of two systems with its interval, and whether it can be told from none."""
    first, second = one.figures(system), other.figures(against)
    if first is None or second is None or one.queries_sha256 != other.queries_sha256:
        return "-"
    mean, low, high = paired(np.ascontiguousarray(first).tobytes(), np.ascontiguousarray(second).tobytes())
    verdict = "" if low > 0 or high < 0 else " (not told apart)"
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{verdict}"


def _significance(found: Results) -> Iterator[str]:
    yield "## Differences, query by query\n"
    reports = [one for one in found.of(HEADLINE) if one.seed == 1]
    baselines = {name for one in reports for name in one.per_query if name not in one.ndcg10}
    others = {**PAIRED_WITH, **{name: name for name in sorted(baselines)}}
    rows = [
        [one.data_set, one.variant, way, *(difference(one, way, one, other) for other in others)]
        for one in reports
        for way in ("asymmetric", "symmetric")
    ]
    if rows:
        yield "nDCG@10 of the student minus that of the other system on the same queries, paired bootstrap.\n"
        yield table(["set", "variant", "documents", *(f"minus {name}" for name in others.values())], rows, left=3)
    else:
        yield "No report yet.\n"


def _group(found: Results, group: Group) -> Iterator[str]:
    yield f"## {group.title}\n"
    if group.about:
        yield f"{group.about}\n"
    reports = found.of(group.name)
    if not reports:
        yield f"No report yet (`--only {group.name}`).\n"
        return
    about = {one.name: one.about for one in group.variants}
    shared = {override: 1 for override in group.overrides}
    first = {name: next(one for one in reports if one.data_set == name) for name in {one.data_set for one in reports}}
    rows = [
        [
            one.data_set,
            one.variant,
            about[one.variant] or _settings(one, shared),
            megabytes(one.bytes["shipped"]),
            f"{one.ndcg10['asymmetric'][0]:.3f}",
            f"{one.retention['asymmetric'][0]:.1%}",
            "" if one is first[one.data_set] else difference(one, "asymmetric", first[one.data_set], "asymmetric"),
            f"{one.ndcg10['symmetric'][0]:.3f}",
            f"{one.retention['symmetric'][0]:.1%}",
            "" if one is first[one.data_set] else difference(one, "symmetric", first[one.data_set], "symmetric"),
            f"{one.training['steps']:,.0f}",
            f"{one.training['seconds']:.0f}",
        ]
        for one in reports
    ]
    noisy = ["symmetric", "bm25"] if all(one.noise for one in reports) else []
    for row, one in zip(rows, reports, strict=True):
        row += [f"{one.noise[name][1]:.3f} ({one.noise[name][2]:.1%})" for name in noisy]
    columns = ["set", "variant", "what differs", "shipped", "asym.", "kept", "minus the first row", "sym.", "kept"]
    yield table(
        [*columns, "minus the first row", "steps", "seconds", *(f"{name} with noise" for name in noisy)], rows, left=3
    )
    yield from beside(found, (one.data_set for one in reports))
    if group.overrides:
        yield f"All: {', '.join(f'`{one}`' for one in group.overrides)}.\n"
    if starts(reports):
        yield f"{starts(reports)}\n"


def _settings(one: ExperimentReport, shared: Mapping[str, int]) -> str:
    words = settings_words(one, shared)
    return f"`{words}`" if words else "as the recipe"


def _dimensions(found: Results) -> Iterator[str]:
    files = {name: one for name, one in found.others.items() if name.startswith("teacher-dimensions-")}
    yield "## The teacher itself in fewer dimensions\n"
    if not files:
        yield "No report yet (`experiments/studies/teacher_dimensions.py`).\n"
        return
    dimensions = sorted({int(size) for one in files.values() for size in one["dimensions"]}, reverse=True)
    rows = []
    for one in files.values():
        found_here = {int(size): row for size, row in one["dimensions"].items()}
        cells = [
            f"{found_here[size]['ndcg10'][0]:.3f} ({found_here[size]['retention'][0]:.1%})"
            if size in found_here
            else "-"
            for size in dimensions
        ]
        rows.append([one["set"], *cells])
    yield "nDCG@10 after PCA without centring, fitted on the training texts, and the share of the whole teacher's.\n"
    yield table(["set", *map(str, dimensions)], rows)


def _minutes(found: Results, folder: str, plots: Sequence[str]) -> Iterator[str]:
    yield "## Pretrain once, specialise in minutes\n"
    shown = [name for name in plots if name.startswith("minutes")]
    yield from (f"![{name}]({folder}/{name})\n" for name in shown)
    if not shown:
        yield "No report yet (`experiments/studies/training_minutes.py`).\n"
        return
    rows = [
        [one["recipe"], row["start"], f"{row['steps']:,}", f"{row['minutes']:.1f}"]
        + [percent([row[way][key] for key in ("value", "low", "high")]) for way in ("asymmetric", "symmetric")]
        for name, one in found.others.items()
        if name.startswith("training-minutes")
        for row in one["rows"]
    ]
    yield table(["recipe", "start", "steps", "minutes", "asymmetric", "symmetric"], rows, left=2)
    yield from beside(
        found, (one["recipe"] for name, one in found.others.items() if name.startswith("training-minutes"))
    )
    yield "Minutes are of the stage `distill` on a machine with other work beside it; steps are exact.\n"


def _notes(found: Results) -> Iterator[str]:
    yield "## What failed\n"
    failed = found.notes.failed
    yield table(["tried", "found"], [[one.what, one.found] for one in failed], left=2) if failed else "Nothing noted.\n"
    yield "## Next\n"
    following = found.notes.next
    yield (
        table(["idea", "why"], [[one.what, one.why] for one in following], left=2) if following else "Nothing noted.\n"
    )


def _missing(found: Results) -> Iterator[str]:
    from experiments.records import experiments_of

    there = {one.name for one in found.reports}
    missing = [one.name for one in experiments_of(found.experiments) if one.name not in there]
    sets = [name for name in found.group(HEADLINE).sets if name not in found.baselines]
    if missing or sets:
        yield "## Not run yet\n"
    if missing:
        yield f"{len(missing)} experiments: {', '.join(missing)}.\n"
    if sets:
        yield f"Baselines: {', '.join(sets)}.\n"
