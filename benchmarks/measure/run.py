"""Measure models on devices: fresh processes, models interleaved, every raw sample kept."""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Literal

from ...devices.targets.base import TargetOptions
from ...devices.targets.open import check_devices, open_target
from ...runtime.errors import InputError, UnavailableError
from ...runtime.packaged import bundle_path
from ...runtime.progress import NoProgress, Progress
from ..records.metrics import RATIOS, Measurement
from ..records.report import SCHEMA, VERSION, DeviceReport, Report, Unavailable
from ..statistics.intervals import relative_spread
from .aggregate import compare_with_reference, mark_emulated
from .calibration import calibrate_noise
from .energy import check_source, measure_energy
from .golden_replay import replay_golden
from .interleaved import measure_interleaved
from .model_files import bundle_measurements, facts_of, find_verified, quality_measurements, require_runtime
from .overhead import measure_overhead
from .query_texts import BUILT_IN, QueryTexts, choose_texts, read_queries, text_facts
from .session import MeasureSettings, ModelFiles, Probe, Session
from .sustained import measure_sustained
from .sweep import measure_sweeps

# In this order: each one sees what those before it have added.
PROBES: tuple[Probe, ...] = (
    measure_energy,
    compare_with_reference,
    replay_golden,
    measure_overhead,
    measure_sweeps,
    measure_sustained,
    mark_emulated,
    calibrate_noise,
)


def measure_model(
    model: str | Path,
    device: str | Sequence[str] = "host",
    *,
    settings: MeasureSettings | None = None,
    texts: str | Path | Sequence[str] | None = None,
    compare_with: Sequence[str | Path] = (),
    progress: Progress | None = None,
    options: TargetOptions | None = None,
) -> Report:
    """Measure what a bundle, or any ONNX embedding model, costs on a device.

    Every model runs in fresh processes of its own. All values of the report are in base units: seconds, bytes, joules,
    queries per second; shares and ratios are plain numbers. Each one carries how it came about, the number of samples,
    and an interval where it has one.

    Args:
        model: A bundle's folder, `general-english` for the bundle that comes with the package, a folder with an ONNX
            model and its tokenizer.json, or an ONNX file with that beside it.
        device: One name or several: `host`, a name of `pocketrank devices`, `qemu:NAME`, `cgroup:NAME`,
            `ssh://user@host[:port]` or `replay:FILE`.
        settings: How long and how often; by default 7 processes a model of at least 1 s and 300 queries.
        texts: The queries: the texts themselves, or the path of a text file, a JSON Lines file or a BEIR folder. By
            default 32 short questions.
        compare_with: Models measured in the same run, interleaved with the first; the first of them is the reference
            of the ratios.
        progress: Where to say how far it is; by default nowhere.
        options: How to reach a board, and whether to record it.

    Returns:
        The report: for each device `report.devices[i].find(metric, model_name)`, bytes in `report.bundle` and quality
        in `report.quality` where the model is a bundle. A device that was missing is in `report.unavailable`, as long
        as another one could be measured.

    Raises:
        InputError: A path, a device, an energy source or a model is not what it should be; the message says which.
        VerificationError: A bundle is not what its manifest says, or the first one gives other vectors here.
        UnavailableError: No device could be measured, or the bundle needs another version of onnxruntime.

    Example:
        >>> from pocketrank.benchmarks.measure import MeasureSettings, measure_model
        >>> quick = MeasureSettings(repetitions=2, min_seconds=0.1, energy="none")
        >>> report = measure_model("general-english", "host", settings=quick, texts=["open a file", "sort a list"])
        >>> latency = report.devices[0].find("latency_p50", report.subject)
        >>> latency.unit, 0 < latency.value < 1
        ('s', True)
    """
    queries = BUILT_IN
    if isinstance(texts, str | Path):
        queries = read_queries(Path(texts))
    elif texts is not None:
        queries = QueryTexts(tuple(texts))
    return measure(
        [find_verified(bundle_path(str(path)), replay=path is model) for path in (model, *compare_with)],
        [device] if isinstance(device, str) else device,
        settings or MeasureSettings(),
        queries,
        progress or NoProgress(),
        options=options,
    )


def measure(
    models: Sequence[ModelFiles],
    devices: Sequence[str],
    settings: MeasureSettings,
    texts: QueryTexts,
    progress: Progress,
    *,
    quality: Sequence[Measurement] | None = None,
    options: TargetOptions | None = None,
) -> Report:
    """Measure every model on every device and return the report.

    The first model is the subject, the second one the reference of the ratios, the others are peers. All of them run
    in every repetition, in alternating order. A device that is not available is noted in the report and does not stop
    the others; when none is, `UnavailableError` is raised. An interrupt (control-C) ends the measuring, not the
    report: what was finished by then is in it, and `interrupted` is true. `quality` replaces what the
    subject's bundle says itself; `options` say how to reach a board.
    """
    check_devices(devices)
    check_source(settings.energy)
    _check_models(models, devices)
    if options and options.record and len(devices) > 1:
        raise InputError(f"{options.record} can hold one device; record {' and '.join(devices)} one by one")
    chosen = choose_texts(texts.texts, settings.texts)
    if not chosen:
        raise InputError("there are no texts to measure with; name a file of texts")
    model_facts = tuple(facts_of(model, _role(index)) for index, model in enumerate(models))
    reports: list[DeviceReport] = []
    missing: list[Unavailable] = []
    for device in devices:
        if any(report.interrupted for report in reports):
            missing.append(Unavailable(device, "interrupted before its turn"))
            continue
        try:
            with open_target(device, options) as target:
                reports.append(measure_device(Session(target, models, chosen, settings, progress)))
        except UnavailableError as error:
            progress.note(f"{device}: {error}")
            missing.append(Unavailable(device, str(error)))
    if not reports:
        raise UnavailableError(missing[0].reason if missing else "no device was named; use --device host")
    if quality is None:
        quality = quality_measurements(models[0].bundle)
    return Report(
        schema=SCHEMA,
        version=VERSION,
        code=metadata.version("pocketrank"),
        subject=models[0].name,
        models=model_facts,
        texts=text_facts(texts.source, chosen),
        settings=asdict(settings),
        devices=tuple(reports),
        bundle=tuple(bundle_measurements(models[0].bundle)),
        quality=tuple(quality),
        unavailable=tuple(missing),
    )


def measure_device(session: Session) -> DeviceReport:
    """Measure the models on one device that is ready: the main figures, then what each probe adds to them."""
    report = measure_interleaved(session)
    if report.interrupted:  # nothing more is started
        session = dataclasses.replace(session, settings=session.settings.plain())
    for probe in PROBES:
        report = probe(session, report)
    own = [row for row in report.measurements if row.model == session.models[0].name and row.metric not in RATIOS]
    noisy = [row for row in own if len(row.processes) > 1 and min(row.processes) > 0]
    noise = {row.metric: round(relative_spread(row.processes), 6) for row in noisy}
    return dataclasses.replace(report, noise=noise)


def _check_models(models: Sequence[ModelFiles], devices: Sequence[str]) -> None:
    if not models:
        raise InputError("there is no model to measure; name a bundle or an ONNX file")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise InputError(f"two models have the same name ({', '.join(names)}); give them different names")
    if "host" in devices:
        for model in models:
            require_runtime(model.bundle)


def _role(index: int) -> Literal["subject", "reference", "peer"]:
    return "subject" if index == 0 else "reference" if index == 1 else "peer"
