"""Replay a bundle's golden texts on a device: are token ids and vectors the same there?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...devices.targets.base import Target
from ...runtime.errors import VerificationError
from ...runtime.golden import largest_difference, read_golden
from ..records.report import GoldenReplay
from .worker_process import MeasureSettings, ModelFiles, run_worker


def replay_golden(
    model: ModelFiles, request: Mapping[str, Any], target: Target, settings: MeasureSettings
) -> GoldenReplay | None:
    """Run the golden texts through one process on the device; None for a model that has none."""
    if model.golden is None or not model.golden.is_file():
        return None
    golden = read_golden(model.golden)
    variant = golden.variants.get(model.variant)
    if variant is None:
        return None
    texts = list(golden.texts)
    changes = {"texts": texts, "vectors": len(texts), "prompt": "", "marks": False, "sustained_seconds": 0.0}
    changes |= {"warmup": 0, "min_seconds": 0.0, "min_queries": 1, "max_seconds": 0.0, "idle_seconds": 0.0, "batch": 1}
    run, result = run_worker(target, {**request, **changes}, settings.timeout)
    tolerance = golden.tolerance[model.variant]
    if run.outcome != "ok":
        return GoldenReplay(model.name, False, len(texts), 0, tolerance, f"{run.outcome}: {run.detail}")
    same = sum(tuple(found) == ids for found, ids in zip(result["ids"], golden.ids, strict=True))
    try:
        difference = largest_difference(variant.vectors, np.array(result["vectors"]), "golden vectors")
    except VerificationError as error:
        return GoldenReplay(model.name, False, len(texts), same, tolerance, str(error))
    passed = same == len(texts) and difference <= tolerance
    detail = f"{same} of {len(texts)} texts with the same ids, largest difference {difference:.2g} of {tolerance:.2g}"
    return GoldenReplay(model.name, passed, len(texts), same, tolerance, detail, difference)
