"""What all studies do with figures: round, pack, compare query by query, and write as JSON."""

import base64
import os
import platform
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.runtime.bootstrap import Interval, bootstrap_interval
from pocketrank.runtime.files import json_bytes, write_bytes

RESAMPLES = 2000
_STEPS_OF_NDCG = 10_000  # a query's nDCG@10 is kept to four digits
_INNERMOST_LIST = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")


def rounded(estimate: Interval, digits: int = 4) -> list[float]:
    """Return mean, low and high of an estimate, rounded."""
    return [round(number, digits) for number in (estimate.mean, estimate.low, estimate.high)]


def pack(values: Sequence[float] | np.ndarray) -> str:
    """Return figures between 0 and 1 as text: four digits each, compressed."""
    steps = np.rint(np.asarray(values, np.float64) * _STEPS_OF_NDCG).astype("<u2")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode("ascii")


def unpack(text: str) -> np.ndarray:
    """Return what `pack` was given, float64 [queries], rounded to four digits."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2") / _STEPS_OF_NDCG


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Return the mean difference of two systems over the same queries, and its 95 % paired bootstrap interval."""
    interval = bootstrap_interval(first - second, RESAMPLES)
    return interval.mean, interval.low, interval.high


def write_report(path: Path, report: Any) -> None:
    """Write JSON whose innermost lists stand on one line each."""
    text = _INNERMOST_LIST.sub(lambda match: "[" + " ".join(match[1].split()) + "]", json_bytes(report).decode())
    write_bytes(path, text.encode())


def processor() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine() -> dict[str, str]:
    """Return processor, cores and Python of this machine."""
    return {"processor": processor(), "cores": str(os.cpu_count()), "python": platform.python_version()}
