"""What the gate judges: a bundle, measured where its budget asks, interleaved with the baseline release where named."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..measure.model_files import (
    bundle_measurements,
    facts_of,
    find_model,
    find_verified,
    quality_measurements,
    report_of,
)
from ..measure.query_texts import QueryTexts
from ..measure.run import measure
from ..measure.session import MeasureSettings
from ..records.metrics import metric_of
from ..records.report import SCHEMA, VERSION, Report, TextFacts, read_report
from .budget import Budget, read_budget
from .judge import BASELINE, Verdict, judge
from .ranking import Rankings

# Pairs that show a change of 15 % in times at least 95 % of the time on a busy machine, see docs/explanation/gate.md.
PAIRS = 40
_PAIR_SECONDS = 0.5
_PAIR_QUERIES = 100


def judge_report(
    report: Report | str | Path,
    budget: Budget | str | Path,
    baseline: Report | str | Path | None = None,
    *,
    baseline_name: str = "",
    confirm: Callable[[], Report] | None = None,
    rankings: Rankings | None = None,
) -> Verdict:
    """Hold a report to a budget, and return the verdict with one check for each limit.

    `report` is a `report.json` or what `read_report` made of one; `budget` a TOML file or a `Budget`. `baseline` is
    what the section [regression] compares with: the report of the baseline release, or its bundle, which has bytes and
    quality only (its times count where `report` holds both bundles, measured in one run); the verdict calls it
    `baseline_name`, or by its file. `confirm` measures the same models once more; it is called at most once, and only
    when a limit on time or energy is broken. `rankings` is what `compare_answers` found, for limits in [ranking].

    Limits that no measurement matches fail. Raises `InputError` for files that are no report, budget or bundle.

    >>> verdict = judge_report("runs/pydocs/report.json", "budgets/pydocs.toml")  # doctest: +SKIP
    >>> verdict.verdict, verdict.exit_code  # doctest: +SKIP
    ('pass', 0)
    """
    if isinstance(baseline, str | Path):
        baseline_name = baseline_name or Path(baseline).name
        baseline = read_baseline(Path(baseline))
    return judge(
        report if isinstance(report, Report) else read_report(Path(report)),
        budget if isinstance(budget, Budget) else read_budget(Path(budget)),
        baseline,
        baseline_name,
        confirm,
        rankings,
    )


@dataclass(frozen=True)
class Release:
    """A bundle that is to be released, and how to measure it."""

    bundle: Path
    budget: Budget
    others: Sequence[Path]
    old: Path | None  # the baseline bundle
    repetitions: int  # 0: the default
    texts: QueryTexts
    progress: Progress

    def report(self, named: Path | None) -> Report:
        """Return the report that was named, the one next to the bundle when it will do, or a new one.

        Bytes are those of the files that are there. Raises `VerificationError` for a bundle that `verify` refuses.
        """
        files = find_verified(self.bundle)
        if self.old is None or not self._times_regress():  # bytes and quality need nothing to be measured
            report = report_of(files, named, self.bundle, self.progress) or self._measure()
            return dataclasses.replace(report, bundle=tuple(bundle_measurements(self.bundle)) or report.bundle)
        if named is not None:
            raise InputError(f"--report {named} cannot be used with --baseline-bundle, which measures; leave one out")
        return self._measure()

    def confirm(self, report: Report) -> Callable[[], Report] | None:
        """Return what measures once more, when that would measure the same models."""
        return self._measure if len(report.models) == len(self._models()) else None

    def _times_regress(self) -> bool:
        metrics = [metric_of(limit.metric) for limit in self.budget.limits if limit.section == "regression"]
        return any(metric.section == "device" for metric in metrics)

    def _models(self) -> list[Path]:
        return [self.bundle, *self.others, *([self.old] if self.old is not None and self._times_regress() else [])]

    def _measure(self) -> Report:
        devices = list(dict.fromkeys(limit.device for limit in self.budget.limits if limit.device)) or ["host"]
        paths = self._models()
        models = [find_model(self.bundle), *(find_verified(path, replay=False) for path in self.others)]
        energy = "auto" if any(limit.metric.startswith("energy") for limit in self.budget.limits) else "none"
        if len(paths) > len(models):
            models.append(find_model(paths[-1], BASELINE))
            settings = MeasureSettings(
                repetitions=self.repetitions or PAIRS,
                min_seconds=_PAIR_SECONDS,
                min_queries=_PAIR_QUERIES,
                energy=energy,
            )
        else:
            settings = MeasureSettings(repetitions=self.repetitions or MeasureSettings.repetitions, energy=energy)
        return measure(models, devices, settings, self.texts, self.progress)


def read_baseline(path: Path) -> Report:
    """Return the baseline release from its report or its bundle."""
    return baseline_of_bundle(path) if path.is_dir() or path.suffix == ".onnx" else read_report(path)


def baseline_of_bundle(bundle: Path) -> Report:
    """Return bytes and quality of the baseline release; its costs are measured with the new one's, as `BASELINE`.

    Its golden vectors are not replayed: an old release may be meant for other versions of the libraries.
    """
    files = find_verified(bundle, replay=False)
    facts = facts_of(files, "subject")
    return Report(
        schema=SCHEMA,
        version=VERSION,
        code=metadata.version("pocketrank"),
        subject=files.name,
        models=(facts,),
        texts=TextFacts("", 0, "", 0.0),
        settings={},
        devices=(),
        bundle=tuple(bundle_measurements(bundle)),
        quality=tuple(quality_measurements(bundle)),
    )
