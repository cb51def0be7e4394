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
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, Report
from .budget import Budget, Limit
from .difference import Difference, exact_difference, pairs_of, timed_difference

SCHEMA = "pocketrank-verdict"
VERSION = 1
Outcome = Literal["pass", "fail", "inconclusive"]
Word = Literal["pass", "fail", "inconclusive", "no budget"]
BASELINE = "baseline"  # name of the older bundle when it is measured in the same run
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
) -> Verdict:
    """Hold a report to a budget.

    `confirm` measures once more; it is called at most once, and only when a limit on time or energy is broken. A limit
    that is broken in one of the two runs only is inconclusive.
    """
    checks = list(_checks(report, budget, baseline))
    if confirm is not None and any(_worth_confirming(check) for check in checks):
        again = _checks(confirm(), budget, baseline)
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


def _checks(report: Report, budget: Budget, baseline: Report | None) -> Iterator[Check]:
    for limit in budget.limits:
        if limit.section == "regression":
            yield from _regressions(limit, report, baseline)
        elif limit.section == "device":
            yield _device_check(limit, report)
        else:
            rows = report.bundle if limit.section == "bundle" else report.quality
            yield _plain_check(limit, rows)


def _plain_check(limit: Limit, rows: Sequence[Measurement]) -> Check:
    found = next((one for one in rows if one.metric == limit.metric), None)
    if found is None:
        names = [one.metric for one in rows]
        hint = did_you_mean(limit.metric, names) if names else "the report has no such figures at all"
        return _unmatched(limit, f"no measurement matches this limit; {hint}")
    return _absolute(limit, found)


def _device_check(limit: Limit, report: Report) -> Check:
    device = next((one for one in report.devices if one.device == limit.device), None)
    if device is None:
        missing = next((one.reason for one in report.unavailable if one.device == limit.device), "")
        reason = f"device {limit.device} was not measured" + (f": {missing}" if missing else "")
        return _unmatched(limit, reason, f"run pocketrank benchmark with --device {limit.device}")
    ended = _never_finished(device, report.subject)
    if ended:
        return _unmatched(limit, f"{report.subject} does not run on {device.device}: {ended}")
    found = device.find(limit.metric, report.subject)
    if limit.metric.endswith("_ratio") and report.reference == BASELINE:
        found = None  # a limit on ratios means the teacher, not the bundle of the last release
    if found is None:
        return _unmatched(limit, f"no measurement of {limit.metric} on {device.device}", _needs(limit.metric))
    return _absolute(limit, found)


def _needs(metric: str) -> str:
    if metric.endswith("_ratio"):
        return "measure a reference model in the same run, with --with MODEL.onnx"
    return "measure on a target that can count it, see `pocketrank devices`"


def _never_finished(device: DeviceReport, model: str) -> str:
    runs = [run for run in device.runs if run.model == model]
    if not runs or any(run.outcome == "ok" for run in runs):
        return ""
    return f"{runs[-1].outcome} ({runs[-1].detail})"


def _absolute(limit: Limit, found: Measurement) -> Check:
    """Compare a measurement with a limit; its whole interval must lie on one side."""
    check = _start(limit, found)
    if found.value is None:
        return dataclasses.replace(
            check, outcome="inconclusive", reason=f"no value: {found.reason}", advice="measure longer or elsewhere"
        )
    refused = _wrong_method(limit, found)
    if refused:
        return dataclasses.replace(
            check,
            outcome="inconclusive",
            reason=refused,
            advice='measure on the device itself, or write source = "any" or method = "any" into the limit',
        )
    # A quality figure is exact on its test set; its interval speaks about other queries, not about this release.
    exact = limit.section == "quality" and limit.bound != "interval"
    low = found.value if exact or found.low is None else found.low
    high = found.value if exact or found.high is None else found.high
    return _compare(check, limit, found.value, low, high, found.stability)


def _compare(check: Check, limit: Limit, value: float, low: float, high: float, stability: str) -> Check:
    lower = limit.better == "lower"
    worst, best = (high, low) if lower else (low, high)
    reason = _distance(value, limit)
    if (worst <= limit.limit) if lower else (worst >= limit.limit):
        return dataclasses.replace(check, outcome="pass", reason=reason)
    advice = METRICS[limit.metric].help if limit.metric in METRICS else "train longer, or a larger student"
    if (best > limit.limit) if lower else (best < limit.limit):
        if stability != "stable" and _is_timing(limit.metric):
            return dataclasses.replace(
                check,
                outcome="inconclusive",
                reason=f"{reason}, but the timing was not stable ({stability})",
                advice="measure again on a quiet machine",
            )
        return dataclasses.replace(check, outcome="fail", reason=reason, advice=advice)
    bounds = f"{format_quantity(low, limit.unit)} … {format_quantity(high, limit.unit)}"
    if limit.section == "regression":
        bounds = f"{low:+.1%} … {high:+.1%}"
    return dataclasses.replace(
        check,
        outcome="inconclusive",
        reason=f"{reason}; the interval {bounds} crosses the limit",
        advice=f"more repetitions or a quieter machine; or: {advice}",
    )


def _wrong_method(limit: Limit, found: Measurement) -> str:
    """Return why the way this value was got cannot satisfy the limit, or nothing."""
    if limit.source not in ("", "any") and found.source != limit.source:
        return f"the limit asks for source {limit.source!r}, the figure is from {found.source or 'none'!r}"
    if limit.source == "any" or limit.method == "any" or found.kind in ("measured", "counted"):
        return ""
    return f"the limit asks for a measured value, this one is {found.kind} ({found.source or found.method})"


def _regressions(limit: Limit, report: Report, baseline: Report | None) -> Iterator[Check]:
    if baseline is None:
        check = _start(limit, None)
        reason = "there is no baseline to compare with"
        advice = "name one with --baseline or --baseline-bundle"
        yield dataclasses.replace(check, outcome="inconclusive", reason=reason, advice=advice)
        return
    known = METRICS.get(limit.metric)
    if known is None or known.section == "bundle":
        rows = (*report.bundle, *report.quality)
        new = next((one for one in rows if one.metric == limit.metric), None)
        old = next((one for one in (*baseline.bundle, *baseline.quality) if one.metric == limit.metric), None)
        if new is None and old is None:
            hint = (
                did_you_mean(limit.metric, [one.metric for one in rows]) if rows else "neither report has such figures"
            )
            yield _unmatched(limit, f"no measurement matches this limit; {hint}")
            return
        yield _regression(limit, "", new, old, lambda new, old: exact_difference(new, old))
        return
    if not report.devices:
        yield _unmatched(limit, "no device was measured")
    for device in report.devices:
        new = device.find(limit.metric, report.subject)
        if not baseline.devices and any(model.name == baseline.subject for model in report.models):
            # A baseline bundle: it took turns with the subject in this very run.
            old = device.find(limit.metric, baseline.subject)
            pairs = pairs_of(device, limit.metric, report.subject, baseline.subject)
            same, calibration = True, device.calibration
        else:
            other = next((one for one in baseline.devices if one.device == device.device), None)
            old = other.find(limit.metric, baseline.subject) if other else None
            pairs, same = None, other is not None and other.fingerprint == device.fingerprint
            calibration = device.calibration or (other.calibration if other and same else None)
        compare = functools.partial(timed_difference, pairs=pairs, same_machine=same, calibration=calibration)
        yield _regression(limit, device.device, new, old, compare, in_turns=pairs is not None)


def _regression(
    limit: Limit,
    device: str,
    new: Measurement | None,
    old: Measurement | None,
    compare: Callable[[Measurement, Measurement], Difference],
    in_turns: bool = False,
) -> Check:
    """Compare with the baseline; the change counts in the direction in which the metric gets worse."""
    check = dataclasses.replace(_start(limit, new), device=device, value=None, low=None, high=None)
    if new is None or old is None or new.value is None or old.value is None:
        which = "this report" if new is None or new.value is None else "the baseline"
        return dataclasses.replace(
            check,
            outcome="inconclusive",
            reason=f"{which} has no value of {limit.metric}",
            advice="measure the baseline again with this version",
        )
    refused = _wrong_method(limit, new) or _wrong_method(limit, old)
    if refused:
        return dataclasses.replace(
            check,
            outcome="inconclusive",
            reason=refused,
            advice='write source = "any" or method = "any" into the limit',
        )
    exact = new.kind == "counted" and old.kind == "counted"
    found = (exact_difference(new, old) if exact else compare(new, old)).worsening()
    if found.value is None or found.low is None or found.high is None or found.smallest is None:
        return dataclasses.replace(check, outcome="inconclusive", reason=found.reason, advice=found.advice)
    check = dataclasses.replace(check, value=found.value, low=found.low, high=found.high)
    if found.method != "counted":
        check = dataclasses.replace(check, method=f"{new.method}; compared: {found.method}")
    if limit.limit < found.smallest and found.low <= limit.limit < found.high:
        return dataclasses.replace(
            check,
            outcome="inconclusive",
            reason=f"the limit of {limit.limit:.1%} is tighter than the noise of this device; the smallest change "
            f"that these runs can tell apart is {found.smallest:.1%}",
            advice=f"allow at least {found.smallest:.1%}, measure more repetitions, or interleave with "
            "--baseline-bundle",
        )
    # In turns a busy machine burdens both alike, and what it adds by chance is inside the interval of their pairs.
    return _compare(check, limit, found.value, found.low, found.high, "stable" if in_turns else new.stability)


def _start(limit: Limit, found: Measurement | None) -> Check:
    return Check(
        section=limit.section,
        metric=limit.metric,
        device=limit.device,
        outcome="inconclusive",
        limit=limit.limit,
        better=limit.better,
        unit=limit.unit,
        place=limit.place,
        reason="",
        value=found.value if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        kind=found.kind if found else "",
        method=found.method if found else "",
        stability=found.stability if found else "",
    )


def _unmatched(limit: Limit, reason: str, advice: str = "fix the budget or the report", device: str = "") -> Check:
    check = _start(limit, None)
    return dataclasses.replace(check, outcome="fail", reason=reason, advice=advice, device=device or limit.device)


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


def _is_timing(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].timing


def _worth_confirming(check: Check) -> bool:
    return check.outcome == "fail" and check.value is not None and _is_timing(check.metric)


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
