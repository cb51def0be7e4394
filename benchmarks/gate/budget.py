"""Budget files: limits on bytes, quality and cost per device, and allowed regressions against a baseline release.

    [bundle]
    shipped_bytes = "3 MB"                  # at most
    [quality]
    ndcg10_retention_asymmetric = 0.85      # at least
    [device.host]
    latency_p95 = "3 ms"
    energy_per_query = { limit = "5 mJ", source = "any" }
    [regression]
    latency_p50 = "10 %"                    # at most this much worse than the baseline release
    [ranking]
    overlap10_min = 0.8                     # of the ten best documents those that the baseline release names too
    changed_top1_max = { limit = 0.15, documents = "teacher" }    # queries whose first document is another

A limit with `method = "any"` accepts emulated and estimated values, one with `source` an energy source by name, and one
with `bound = "interval"` on a quality figure asks that even the lower end of its interval keeps the limit. In [ranking]
both releases rank the test queries, by their own vectors of the documents or, with `documents = "teacher"`, by the
teacher's; both bundles have to be given.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...devices.profile import profile_names
from ...runtime.errors import InputError
from ...runtime.files import read_text, read_toml
from ...runtime.schema import did_you_mean, from_mapping
from ...runtime.units import parse_quantity
from ..records.metrics import METRICS, metric_of
from .ranking import DocumentsBy

_SECTIONS = ("bundle", "quality", "device", "regression", "ranking")


@dataclass(frozen=True)
class _Entry:
    """A limit with its conditions, as written in the file."""

    limit: str | float  # a number in the metric's unit, or a quantity such as "3 ms"
    method: Literal["measured", "any"] = "measured"  # any: emulated and estimated values count too
    source: str = ""  # of energy: a source by name, or any
    better: Literal["", "lower", "higher"] = ""  # direction of a quality figure; empty: by its name
    # of a quality figure; interval: even the lower end of its interval has to keep the limit
    bound: Literal["value", "interval"] = "value"
    documents: DocumentsBy = "bundle"  # in section `ranking`: who encoded them, each release itself or the teacher


@dataclass(frozen=True)
class Limit:
    """One line of a budget."""

    section: Literal["bundle", "quality", "device", "regression", "ranking"]
    metric: str
    limit: float
    better: Literal["lower", "higher"]
    unit: str
    place: str  # file, line and key, for people
    device: str = ""  # in section `device`; in section `regression` empty means every device
    method: Literal["measured", "any"] = "measured"
    source: str = ""  # of energy; empty: a measured one, "any": whatever there is
    bound: Literal["value", "interval"] = "value"  # quality: what must keep the limit
    documents: DocumentsBy = "bundle"  # ranking: whose vectors the documents have


@dataclass(frozen=True)
class Budget:
    """All limits of a file, in its order."""

    path: Path
    limits: tuple[Limit, ...]


def read_budget(path: Path) -> Budget:
    """Read a budget strictly: unknown sections, metrics, devices and units are refused with the nearest valid name."""
    mapping, text = read_toml(path), read_text(path)
    limits: list[Limit] = []
    for section, table in mapping.items():
        if section not in _SECTIONS:
            raise InputError(f"{path}: unknown section [{section}]; {did_you_mean(section, _SECTIONS)}")
        if not isinstance(table, dict):
            raise InputError(f"{path}: {section} must be a table; write [{section}] and the limits below it")
        if section == "device":
            for device, inner in table.items():
                _check_device(path, device)
                if not isinstance(inner, dict):
                    raise InputError(f"{path}: device.{device} must be a table; write [device.{device}]")
                limits += [_limit(path, text, section, metric, value, device) for metric, value in inner.items()]
        else:
            limits += [_limit(path, text, section, metric, value) for metric, value in table.items()]
    if not limits:
        raise InputError(f'{path} holds no limit; write one, such as [bundle] shipped_bytes = "3 MB"')
    return Budget(path, tuple(limits))


def _check_device(path: Path, device: str) -> None:
    # Boards behind ssh have addresses of their own; the kind of emulation may be named, as in "cgroup:NAME".
    if "://" not in device and device.rpartition(":")[2] not in profile_names():
        raise InputError(f"{path}: [device.{device}]: unknown device; {did_you_mean(device, profile_names())}")


def _limit(path: Path, text: str, section: Any, metric: str, value: Any, device: str = "") -> Limit:
    key = f"device.{device}.{metric}" if device else f"{section}.{metric}"
    place = f"{_shown(path)}, line {_line_of(text, section, metric, device)}: {key}"
    known = metric_of(metric)
    if section in ("bundle", "device", "ranking") and known.section != section:
        valid = [name for name, entry in METRICS.items() if entry.section == section]
        raise InputError(
            f"{path}: [{section}{'.' + device if device else ''}]: unknown metric {metric!r}; "
            f"{did_you_mean(metric, valid)}"
        )
    entry = from_mapping(_Entry, value, str(path), key) if isinstance(value, dict) else _Entry(value)
    unit = "1" if section == "regression" else known.unit
    limit = parse_quantity(entry.limit, unit, place)
    if section != "regression" and not known.takes(limit):
        raise InputError(f"{place} = {entry.limit!r}: {metric} is {known.range_words}; fix the limit")
    return Limit(
        section=section,
        metric=metric,
        limit=limit,
        better=entry.better or ("lower" if section == "regression" else known.better),
        unit=unit,
        place=place,
        device=device,
        method=entry.method,
        source=entry.source,
        bound=entry.bound,
        documents=entry.documents,
    )


def _shown(path: Path) -> str:
    """Return the path as seen from the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _line_of(text: str, section: str, metric: str, device: str) -> int:
    """Return the line on which a key stands; 0 when it is written in a way that this simple search does not see."""
    header = f"device.{device}" if device else section
    current = ""
    for number, line in enumerate(text.split("\n"), start=1):
        match = re.match(r"\s*\[([^\]]+)\]", line)
        if match:
            current = match[1].replace('"', "").replace("'", "").replace(" ", "")
        elif current == header and re.match(rf"\s*[\"']?{re.escape(metric)}[\"']?\s*=", line):
            return number
    return 0
