"""Replay a bundle's golden texts on a device: are token ids and vectors the same there?"""

import dataclasses

import numpy as np

from ...runtime.errors import VerificationError
from ...runtime.golden import largest_difference, read_golden
from ...runtime.manifest import GOLDEN_NAME, listed_file, read_manifest
from ...runtime.text.tokenizer_file import CHARACTERS_PER_TOKEN
from ..records.metrics import METRICS, Measurement
from ..records.report import DeviceReport, GoldenReplay
from .session import ModelFiles, Session

# One query of each text, whose vectors are returned.
_ONCE = {"prompt": "", "batch": 1, "marks": False, "warmup": 0, "min_queries": 1}
_ONCE |= dict.fromkeys(("min_seconds", "max_seconds", "idle_seconds", "sustained_seconds"), 0.0)


def replay_golden(session: Session, report: DeviceReport) -> DeviceReport:
    """Add a replay on a device whose processor is not this machine's: here, `pocketrank verify` does it."""
    if session.target.kind in ("local", "cgroup") or report.interrupted:
        return report
    replays = []
    for model in session.running(report):
        replay = _replay(session, model)
        if replay is not None:
            replays.append(replay)
            word = "ok" if replay.passed else "DIFFERENT"
            session.progress.note(f"  golden vectors of {model.name}: {word}, {replay.detail}")
    rows = [_difference(replay, report.fingerprint) for replay in replays if replay.difference is not None]
    return dataclasses.replace(report, golden=tuple(replays), measurements=(*report.measurements, *rows))


def _replay(session: Session, model: ModelFiles) -> GoldenReplay | None:
    """Run the golden texts through one process on the device; None for a model that has none."""
    manifest = read_manifest(model.bundle) if model.bundle is not None else None
    if model.bundle is None or manifest is None or GOLDEN_NAME not in manifest.files:
        return None
    golden = read_golden(listed_file(model.bundle, manifest, GOLDEN_NAME))
    variant = golden.variants.get(model.variant)
    if variant is None:
        return None
    texts = [text[: model.max_length * CHARACTERS_PER_TOKEN] for text in golden.texts]
    tolerance = golden.tolerance[model.variant]
    run, answer = session.run_worker(model, {**_ONCE, "texts": texts, "vectors": len(texts)})
    if run.outcome != "ok":
        return GoldenReplay(model.name, False, len(texts), 0, tolerance, f"{run.outcome}: {run.detail}")
    same = sum(tuple(ids) == expected for ids, expected in zip(answer["ids"], golden.ids, strict=True))
    try:
        difference = largest_difference(variant.vectors, np.array(answer["vectors"]), "golden vectors")
    except VerificationError as error:
        return GoldenReplay(model.name, False, len(texts), same, tolerance, str(error))
    passed = same == len(texts) and difference <= tolerance
    detail = f"{same} of {len(texts)} texts with the same ids, largest difference {difference:.2g} of {tolerance:.2g}"
    return GoldenReplay(model.name, passed, len(texts), same, tolerance, detail, difference)


def _difference(replay: GoldenReplay, device: str) -> Measurement:
    return Measurement(
        "golden_difference",
        METRICS["golden_difference"].unit,
        "measured",
        f"{replay.texts} golden texts against the vectors in the bundle",
        value=replay.difference,
        model=replay.model,
        device=device,
        count=replay.texts,
        low=replay.difference,
        high=replay.difference,
    )
