"""The gate: a report and a budget become one verdict, pass, fail or inconclusive, with reasons that can be checked."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...runtime.errors import InputError
from ...runtime.files import read_json, write_json
from ...runtime.schema import did_you_mean, from_mapping, to_mapping
from ...runtime.units import format_quantity
from ..records.metrics import Measurement, metric_of
from ..records.report import DeviceReport, ModelFacts, Report
from .budget import Budget, Limit
from .difference import Difference, exact_difference, pairs_of, timed_difference
from .ranking import NOT_COMPARED, ChangedQuery, Rankings

SCHEMA = "pocketrank-verdict"
VERSION = 1
Outcome = Literal["pass", "fail", "inconclusive"]
Word = Literal["pass", "fail", "inconclusive", "no budget"]
BASELINE = "baseline"  # name of the baseline release when it is measured in the same run
_AGAIN = "measure again with this version"
_RANKING = ("ndcg10_", "mrr10_", "recall100_", "baselines_")  # what figures of ranked test queries are called
_ADD_QUERIES = "add judged test queries to the corpus"
_GIVE_BOTH = (
    "name the last release's bundle (--baseline-bundle, in a recipe gate.baseline) and the documents with their test "
    "queries (--data, in a recipe the corpus)"
)
EXIT_CODES: dict[Word, int] = {"pass": 0, "fail": 1, "inconclusive": 4, "no budget": 0}


@dataclass(frozen=True)
class Check:
    """One limit against one measurement."""

    section: str  # of the budget
    metric: str  # its name
    device: str  # empty for the bundle and its quality
    outcome: Outcome  # of this limit
    limit: float  # in the unit
    better: str  # lower or higher
    unit: str  # as `Metric.unit`
    place: str  # where the limit is written
    reason: str  # in one sentence, with the distance to the limit
    value: float | None = None  # of the limit's own scale: for a regression the relative change
    low: float | None = None  # lower end of the interval
    high: float | None = None  # upper end of the interval
    kind: str = ""  # as `Measurement.kind`
    method: str = ""  # as `Measurement.method`
    stability: str = ""  # as `Measurement.stability`
    advice: str = ""  # what would help; empty for a pass
    changed: tuple[ChangedQuery, ...] = ()  # of section ranking: the queries that changed most


@dataclass(frozen=True)
class Verdict:
    """All checks of a budget and what they come to."""

    schema: str  # name of this format
    version: int  # of this format
    verdict: Word  # the worst outcome
    exit_code: int  # 0 pass, 1 fail, 4 inconclusive
    subject: str  # name of the model
    budget: str  # name of the budget file
    baseline: str  # name of the baseline; empty: none
    checks: tuple[Check, ...]  # in the order of the budget


def judge(
    report: Report,
    budget: Budget,
    baseline: Report | None = None,
    baseline_name: str = "",
    confirm: Callable[[], Report] | None = None,
    rankings: Rankings | None = None,
) -> Verdict:
    """Hold a report to a budget.

    `rankings` is how the answers differ from the baseline release's, for limits in [ranking], or why that is unknown.
    `confirm` measures once more; it is called at most once, and only when a limit on time or energy is broken. A limit
    that is broken in one of the two runs only is inconclusive. Raises `InputError` for a baseline of another bundle.
    """
    # ONNX files that are no bundles have no name of their own: they are called after their folder.
    if baseline is not None and baseline.bundle and report.bundle and baseline.subject != report.subject:
        raise InputError(
            f"the baseline {baseline_name} is of {baseline.subject!r}, not of {report.subject!r}; name "
            "a release of the same bundle, whose recipe has the same name"
        )
    checks = list(_checks(report, budget, baseline, rankings or {}))
    if confirm is not None and any(_worth_confirming(check) for check in checks):
        again = _checks(confirm(), budget, baseline, rankings or {})
        checks = [_confirmed(first, second) for first, second in zip(checks, again, strict=True)]
    outcomes = {check.outcome for check in checks}
    word: Word = "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
    code = EXIT_CODES[word]
    return Verdict(SCHEMA, VERSION, word, code, report.subject, budget.path.name, baseline_name, tuple(checks))


def not_judged(report: Report) -> Verdict:
    """Return the verdict of a recipe that names no budget."""
    return Verdict(SCHEMA, VERSION, "no budget", EXIT_CODES["no budget"], report.subject, "", "", ())


def read_verdict(path: Path) -> Verdict:
    """Read `verdict.json`; refuse other files and other versions."""
    mapping = read_json(path)
    if not isinstance(mapping, dict) or mapping.get("schema") != SCHEMA or mapping.get("version") != VERSION:
        raise InputError(f"{path} is not a verdict of version {VERSION}; run `pocketrank gate` again")
    return from_mapping(Verdict, mapping, str(path))


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write `verdict.json`, whole or not at all."""
    write_json(path, to_mapping(verdict))


@dataclass(frozen=True)
class _Case:
    """A limit and what it is held against; makes the three kinds of check."""

    limit: Limit
    measurement: Measurement | None = None
    device: str = ""
    change: Difference | None = None  # of a regression

    def passed(self, reason: str) -> Check:
        return self._check("pass", reason, "")

    def failed(self, reason: str, advice: str = "fix the budget or the report") -> Check:
        return self._check("fail", reason, advice)

    def inconclusive(self, reason: str, advice: str) -> Check:
        return self._check("inconclusive", reason, advice)

    def _check(self, outcome: Outcome, reason: str, advice: str) -> Check:
        limit, measurement = self.limit, self.measurement
        figures = self.change if limit.section == "regression" else measurement
        method = measurement.method if measurement else ""
        if self.change is not None and self.change.method not in ("", "counted"):
            method += f"; compared: {self.change.method}"
        return Check(
            section=limit.section,
            metric=limit.metric,
            device=self.device or limit.device,
            outcome=outcome,
            limit=limit.limit,
            better=limit.better,
            unit=limit.unit,
            place=limit.place,
            reason=reason,
            value=figures.value if figures else None,
            low=figures.low if figures else None,
            high=figures.high if figures else None,
            kind=measurement.kind if measurement else "",
            method=method,
            stability=measurement.stability if measurement else "",
            advice=advice,
        )


def _checks(report: Report, budget: Budget, baseline: Report | None, rankings: Rankings) -> Iterator[Check]:
    for limit in budget.limits:
        if limit.section == "ranking":
            yield _ranking_check(limit, rankings)
        elif limit.section == "regression":
            yield from _regressions(limit, report, baseline)
        elif limit.section == "device":
            yield _device_check(limit, report)
        else:
            yield _plain_check(limit, report)


def _plain_check(limit: Limit, report: Report) -> Check:
    rows = report.bundle if limit.section == "bundle" else report.quality
    measurement = _of_metric(rows, limit.metric)
    if measurement is None:
        if unknown := _why_unknown(limit, report):
            return _Case(limit).inconclusive(unknown, _ADD_QUERIES)
        names = [row.metric for row in rows]
        hint = did_you_mean(limit.metric, names) if names else "the report has no such figures at all"
        return _Case(limit).failed(f"no measurement matches this limit; {hint}")
    return _absolute(_Case(limit, measurement), measurement)


def _ranking_check(limit: Limit, rankings: Rankings) -> Check:
    change = rankings.get(limit.documents, NOT_COMPARED)
    if isinstance(change, str):
        return _Case(limit).inconclusive(change, _GIVE_BOTH)
    value = change.overlap10 if limit.metric == "overlap10_min" else change.changed_top1
    measurement = Measurement(limit.metric, limit.unit, "counted", change.method, value=value, count=change.queries)
    return dataclasses.replace(_absolute(_Case(limit, measurement), measurement), changed=change.most_changed)


def _of_metric(rows: Sequence[Measurement], metric: str) -> Measurement | None:
    return next((row for row in rows if row.metric == metric), None)


def _why_unknown(limit: Limit, report: Report) -> str:
    """Return why a report has no figure of ranking quality, or nothing; other figures need no judged queries."""
    reason = report.quality_not_measured
    return f"the ranking quality was not measured: {reason}" if reason and limit.metric.startswith(_RANKING) else ""


def _device_check(limit: Limit, report: Report) -> Check:
    device = next((device for device in report.devices if device.device == limit.device), None)
    if device is None:
        missing = next((entry.reason for entry in report.unavailable if entry.device == limit.device), "")
        reason = f"device {limit.device} was not measured" + (f": {missing}" if missing else "")
        return _Case(limit).failed(reason, f"run pocketrank benchmark with --device {limit.device}")
    failure = _never_finished(device, report.subject)
    if failure:
        return _Case(limit).failed(f"{report.subject} does not run on {device.device}: {failure}")
    unusable = device.why_unusable(report.subject)
    if unusable:
        return _Case(limit).inconclusive(unusable, _AGAIN)
    measurement = device.find(limit.metric, report.subject)
    if limit.metric.endswith("_ratio") and report.reference == BASELINE:
        measurement = None  # a limit on ratios means the teacher, not the baseline release
    if measurement is None:
        return _Case(limit).failed(f"no measurement of {limit.metric} on {device.device}", _needs(limit.metric))
    return _absolute(_Case(limit, measurement), measurement)


def _needs(metric: str) -> str:
    if metric.endswith("_ratio"):
        return "measure a reference model in the same run, with --with MODEL.onnx"
    return "measure on a target that can count it, see `pocketrank devices`"


def _never_finished(device: DeviceReport, model: str) -> str:
    runs = [run for run in device.runs if run.model == model]
    if not runs or any(run.outcome == "ok" for run in runs):
        return ""
    return f"{runs[-1].outcome} ({runs[-1].detail})"


def _absolute(case: _Case, measurement: Measurement) -> Check:
    """Compare a measurement with a limit; its whole interval must lie on one side."""
    limit, value = case.limit, measurement.value
    if value is None:
        return case.inconclusive(f"no value: {measurement.reason}", "measure longer or elsewhere")
    refused = _wrong_method(limit, measurement)
    if refused:
        advice = 'measure on the device itself, or write source = "any" or method = "any" into the limit'
        return case.inconclusive(refused, advice)
    # A quality figure is exact on its test set; its interval speaks about other queries, not about this release.
    exact = limit.section == "quality" and limit.bound != "interval"
    low = value if exact or measurement.low is None else measurement.low
    high = value if exact or measurement.high is None else measurement.high
    return _compare(case, value, low, high, measurement.stability)


def _compare(case: _Case, value: float, low: float, high: float, stability: str) -> Check:
    limit = case.limit
    lower = limit.better == "lower"
    worst, best = (high, low) if lower else (low, high)
    reason = _distance(value, limit)
    if (worst <= limit.limit) if lower else (worst >= limit.limit):
        return case.passed(reason)
    advice = metric_of(limit.metric).help
    if (best > limit.limit) if lower else (best < limit.limit):
        if stability != "stable" and metric_of(limit.metric).timing:
            reason = f"{reason}, but the timing was not stable ({stability})"
            return case.inconclusive(reason, "measure again on a quiet machine")
        return case.failed(reason, advice)
    bounds = f"{format_quantity(low, limit.unit)} … {format_quantity(high, limit.unit)}"
    if limit.section == "regression":
        bounds = f"{low:+.1%} … {high:+.1%}"
    reason = f"{reason}; the interval {bounds} crosses the limit"
    return case.inconclusive(reason, f"more repetitions or a quieter machine; or: {advice}")


def _wrong_method(limit: Limit, measurement: Measurement) -> str:
    """Return why the way this value was got cannot satisfy the limit, or nothing."""
    source, kind = measurement.source, measurement.kind
    if limit.source not in ("", "any") and source != limit.source:
        return f"the limit asks for source {limit.source!r}, the figure is from {source or 'none'!r}"
    if limit.source == "any" or limit.method == "any" or kind in ("measured", "counted"):
        return ""
    return f"the limit asks for a measured value, this one is {kind} ({source or measurement.method})"


def _regressions(limit: Limit, report: Report, baseline: Report | None) -> Iterator[Check]:
    if baseline is None:
        advice = "name one with --baseline or --baseline-bundle"
        yield _Case(limit).inconclusive("there is no baseline release to compare with", advice)
    elif metric_of(limit.metric).section != "device":
        yield _figure_regression(limit, report, baseline)
    elif not report.devices:
        yield _Case(limit).failed("no device was measured")
    else:
        for device in report.devices:
            yield _device_regression(limit, report, baseline, device)


def _figure_regression(limit: Limit, report: Report, baseline: Report) -> Check:
    rows = (*report.bundle, *report.quality)
    new, old = _of_metric(rows, limit.metric), _of_metric((*baseline.bundle, *baseline.quality), limit.metric)
    if new is None and (unknown := _why_unknown(limit, report)):
        return _Case(limit).inconclusive(unknown, _ADD_QUERIES)
    if new is None and old is None:
        names = [row.metric for row in rows]
        hint = did_you_mean(limit.metric, names) if names else "neither report has such figures"
        return _Case(limit).failed(f"no measurement matches this limit; {hint}")
    return _regression(_Case(limit, new), old, exact_difference)


def _is_baseline(model: ModelFacts, baseline: Report) -> bool:
    """Tell whether a measured model is the baseline bundle itself."""
    return model.name == BASELINE and any(model.model_sha256 == facts.model_sha256 for facts in baseline.models)


def _device_regression(limit: Limit, report: Report, baseline: Report, device: DeviceReport) -> Check:
    if not baseline.devices and any(_is_baseline(model, baseline) for model in report.models):
        # A baseline bundle: it was measured in this very run, interleaved with the subject.
        old = device.find(limit.metric, BASELINE)
        pairs = pairs_of(device, limit.metric, report.subject, BASELINE)
        same, calibration, unusable = True, device.calibration, ""
    else:
        other = next((entry for entry in baseline.devices if entry.device == device.device), None)
        old = other.find(limit.metric, baseline.subject) if other else None
        pairs, same = None, other is not None and other.fingerprint == device.fingerprint
        calibration = device.calibration or (other.calibration if other and same else None)
        unusable = _not_comparable(report, baseline, other)
    new = device.find(limit.metric, report.subject)
    case = _Case(limit, new, device.device)
    unusable = device.why_unusable(report.subject) or unusable
    if unusable:
        return case.inconclusive(unusable, _AGAIN)
    compare = functools.partial(timed_difference, pairs=pairs, same_machine=same, calibration=calibration)
    return _regression(case, old, compare, interleaved=pairs is not None)


def _not_comparable(report: Report, baseline: Report, other: DeviceReport | None) -> str:
    """Return why the baseline's figures of a device cannot be compared with any, or nothing."""
    if baseline.devices and baseline.texts.sha256 != report.texts.sha256:
        return "the baseline release was measured with other texts"
    unusable = other.why_unusable(baseline.subject) if other else ""
    return f"in the report of the baseline release, {unusable}" if unusable else ""


def _regression(
    case: _Case,
    old: Measurement | None,
    compare: Callable[[Measurement, Measurement], Difference],
    interleaved: bool = False,
) -> Check:
    """Compare with the baseline; the change counts in the direction in which the metric gets worse."""
    limit, new = case.limit, case.measurement
    if new is None or old is None or new.value is None or old.value is None:
        which = "this report" if new is None or new.value is None else "the baseline release"
        advice = "measure the baseline release again with this version"
        return case.inconclusive(f"{which} has no value of {limit.metric}", advice)
    refused = _wrong_method(limit, new) or _wrong_method(limit, old)
    if refused:
        return case.inconclusive(refused, 'write source = "any" or method = "any" into the limit')
    exact = new.kind == "counted" and old.kind == "counted"
    change = (exact_difference(new, old) if exact else compare(new, old)).worsening()
    if change.value is None or change.low is None or change.high is None or change.smallest is None:
        return case.inconclusive(change.reason, change.advice)
    case = dataclasses.replace(case, change=change)
    if limit.limit < change.smallest and change.low <= limit.limit < change.high:
        return case.inconclusive(
            f"the limit of {limit.limit:.1%} is tighter than the noise of this device; the smallest change "
            f"that these runs can tell apart is {change.smallest:.1%}",
            f"allow at least {change.smallest:.1%}, measure more repetitions, or interleave with --baseline-bundle",
        )
    # Interleaved, a busy machine burdens both alike, and what it adds by chance is inside the interval of their pairs.
    return _compare(case, change.value, change.low, change.high, "stable" if interleaved else new.stability)


def _distance(value: float, limit: Limit) -> str:
    shown, bound = format_quantity(value, limit.unit), format_quantity(limit.limit, limit.unit)
    if limit.section == "regression":
        shown, bound = f"{value:+.1%}", f"+{limit.limit:.1%}"
    relation = "at most" if limit.better == "lower" else "at least"
    room = (limit.limit - value) if limit.better == "lower" else (value - limit.limit)
    if limit.section == "regression":
        distance = f"{abs(room) * 100:.1f} points {'inside' if room >= 0 else 'beyond'}"
    elif limit.limit:
        distance = f"{abs(room / limit.limit):.1%} {'inside' if room >= 0 else 'beyond'}"
    else:
        distance = "inside" if room >= 0 else "beyond"
    return f"{shown}, {relation} {bound} allowed: {distance}"


def _worth_confirming(check: Check) -> bool:
    return check.outcome == "fail" and check.value is not None and metric_of(check.metric).timing


def _confirmed(first: Check, second: Check) -> Check:
    if not _worth_confirming(first):
        return first
    if second.outcome == "fail":
        return dataclasses.replace(second, reason=f"{second.reason} (confirmed by a second run)")
    return dataclasses.replace(
        second,
        outcome="inconclusive",
        reason=f"broken in the first run ({first.reason}), not in the second ({second.reason})",
        advice="more repetitions or a quieter machine",
    )
