"""From what a sensor or a bench meter gave to watts over time. Every parser is strict: a guess would become a joule."""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_text

_PMIC_LINE = re.compile(r"\s*(\w+)_([AV])\s+(current|volt)\(\d+\)=([-+0-9.eE]+)([AV])\s*")
SHUNT_OHMS = 0.1  # of the common INA219 boards
_SHUNT_STEP, _BUS_STEP = 10e-6, 4e-3  # volts a step, data sheet of the INA219, section 8.6.3


@dataclass(frozen=True)
class PowerTrace:
    """Watts over time; `seconds` ascend on one clock."""

    seconds: np.ndarray
    watts: np.ndarray

    def energy(self, begin: float, end: float) -> float:
        """Return the joules between two moments, by trapezoids; the trace must cover them."""
        inside = (self.seconds > begin) & (self.seconds < end)
        times = np.concatenate([[begin], self.seconds[inside], [end]])
        first, last = np.interp([begin, end], self.seconds, self.watts)
        return float(np.trapezoid(np.concatenate([[first], self.watts[inside], [last]]), times))

    def covers(self, begin: float, end: float) -> bool:
        """Return whether there are readings before, after and between two moments."""
        inside = (self.seconds >= begin) & (self.seconds <= end)
        return bool(len(self.seconds) and self.seconds[0] <= begin and self.seconds[-1] >= end and inside.any())

    def count(self, begin: float, end: float) -> int:
        """Return the number of readings between two moments."""
        return int(((self.seconds >= begin) & (self.seconds <= end)).sum())


def sampled_trace(result: Mapping[str, Any], shunt_ohms: float = SHUNT_OHMS) -> PowerTrace:
    """Return the trace of what `power_sampler.py` wrote."""
    parse = {"pmic": pmic_watts, "ina219": lambda reading: ina219_watts(reading, shunt_ohms)}[result["source"]]
    seconds = np.array([moment for moment, _ in result["readings"]], dtype=float)
    return PowerTrace(seconds, np.array([parse(reading) for _, reading in result["readings"]], dtype=float))


def pmic_watts(text: str) -> float:
    """Return the watts that a Raspberry Pi 5's power controller sees: volts x amps, summed over its rails.

    Rails with a voltage only (the 5 V input, the clock's battery) carry no current reading and do not count. What the
    controller itself and the parts beside its rails draw is not seen.
    """
    rails: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _PMIC_LINE.fullmatch(line)
        if match is None or (match[2] == "A") != (match[3] == "current") or match[2] != match[5]:
            raise InputError(f"pmic_read_adc: {line.strip()[:60]!r} is no reading of a rail; update the firmware")
        rails.setdefault(match[1], {})[match[2]] = float(match[4])
    pairs = [rail["A"] * rail["V"] for rail in rails.values() if {"A", "V"} <= rail.keys()]
    unpaired = sorted(name for name, rail in rails.items() if "V" not in rail)
    if not pairs or unpaired:
        which = f"rail {unpaired[0]} has amps but no volts" if unpaired else "no rail has both volts and amps"
        raise InputError(f"pmic_read_adc: {which}; update the firmware")
    return sum(pairs)


def ina219_watts(reading: Mapping[str, Any], shunt_ohms: float = SHUNT_OHMS) -> float:
    """Return the watts of one INA219 reading: hwmon files, iio files, or raw registers and the shunt's resistance."""
    if "power1_input" in reading:  # hwmon: microwatts
        return int(reading["power1_input"]) / 1e6
    if {"in1_input", "curr1_input"} <= reading.keys():  # hwmon: millivolts and milliamperes
        return int(reading["in1_input"]) / 1e3 * int(reading["curr1_input"]) / 1e3
    for name in ("in_power2", "in_power"):
        if {f"{name}_raw", f"{name}_scale"} <= reading.keys():  # iio: raw x scale is milliwatts
            return int(reading[f"{name}_raw"]) * float(reading[f"{name}_scale"]) / 1e3
    if not {"shunt_register", "bus_register"} <= reading.keys():
        raise InputError(f"ina219: a reading of {', '.join(reading) or 'nothing'} has no power; check the driver")
    shunt, bus = int(reading["shunt_register"]), int(reading["bus_register"])
    if bus & 1:
        raise InputError("ina219: the chip reports an overflow; use a smaller shunt or a wider range")
    shunt_volts = (shunt - 65536 if shunt & 0x8000 else shunt) * _SHUNT_STEP  # two's complement
    return (bus >> 3) * _BUS_STEP * shunt_volts / shunt_ohms


_COLUMNS = {
    "time": (("time", "timestamp", "t", "elapsed", "date", "datetime"), {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}),
    "watts": (("power", "watts", "watt", "p"), {"w": 1.0, "mw": 1e-3, "uw": 1e-6, "µw": 1e-6, "kw": 1e3}),
    "volts": (("voltage", "volts", "volt", "v", "u"), {"v": 1.0, "mv": 1e-3}),
    "amps": (("current", "amps", "ampere", "amperes", "a", "i"), {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "µa": 1e-6}),
    "mark": (("mark", "marker"), {"": 1.0}),
}
_HEADER = re.compile(
    r"(?P<name>[^()\[\]]*?)\s*(?:[(\[](?P<bracket>[^)\]]*)[)\]]|_(?P<suffix>[mµuk]?[swva]))?", re.IGNORECASE
)
# Names that say their unit themselves.
_OWN_UNIT = {"watts": "w", "watt": "w", "volts": "v", "volt": "v", "amps": "a", "ampere": "a", "amperes": "a"}
_EPOCH = 1e9  # seconds above this are a date, below it a stop watch


@dataclass(frozen=True)
class MeterFile:
    """A bench meter's recording: its trace, whether its clock is the calendar's, and its start mark if it has one."""

    trace: PowerTrace
    absolute: bool
    mark: float | None  # moment of the marked row, on the trace's own clock


def read_meter(path: Path) -> MeterFile:
    """Read a meter's CSV: a time column, and watts or volts and amps, each with its unit in the header.

    Times are seconds from any start, seconds since 1970, or ISO dates (UTC unless they say otherwise). A column
    `mark` may hold one filled cell: the row at which the run began. Raises `InputError` that names the row or column.
    """
    text = read_text(path)
    delimiter = max(";\t,", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    if len(rows) < 3:
        raise InputError(f"{path}: a header and at least two rows of readings are needed; record again")
    columns = _meter_columns(path, rows[0])
    seconds, watts, marks = [], [], []
    absolute = False
    for number, row in enumerate(rows[1:], start=2):
        place = f"{path}, row {number}"
        if len(row) < len(rows[0]):
            raise InputError(f"{place}: {len(row)} cells instead of {len(rows[0])}; fix the row")
        cells = {name: (row[index], scale) for name, (index, scale) in columns.items()}
        moment, dated = _moment(place, *cells.pop("time"), delimiter)
        absolute = absolute or dated
        if seconds and moment < seconds[-1]:
            raise InputError(f"{place}: time goes back from {seconds[-1]:g} to {moment:g} s; sort the file")
        if cells.pop("mark", ("", 0))[0].strip() not in ("", "0"):
            marks.append(moment)
        values = {name: _number(place, cell, delimiter) * scale for name, (cell, scale) in cells.items()}
        seconds.append(moment)
        watts.append(values["watts"] if "watts" in values else values["volts"] * values["amps"])
    if len(marks) > 1:
        raise InputError(f"{path}: {len(marks)} rows are marked; mark only the one at which the run began")
    return MeterFile(PowerTrace(np.array(seconds), np.array(watts)), absolute, marks[0] if marks else None)


def _meter_columns(path: Path, header: Sequence[str]) -> dict[str, tuple[int, float]]:
    columns: dict[str, tuple[int, float]] = {}
    for index, cell in enumerate(header):
        match = _HEADER.fullmatch(cell.strip("\ufeff\"' "))
        if match is None:
            continue
        name, unit = match["name"].strip().lower(), (match["bracket"] or match["suffix"] or "").strip().lower()
        for column, (names, scales) in _COLUMNS.items():
            if name not in names:
                continue
            unit = unit or _OWN_UNIT.get(name, "")
            if column == "time" and unit not in scales:
                unit = "s"  # dates carry no unit, and a stop watch without one counts seconds
            if unit not in scales:
                raise InputError(f"{path}: column {cell!r} needs its unit in brackets, one of {', '.join(scales)}")
            if column in columns:
                raise InputError(f"{path}: two columns could be {column}: {header[columns[column][0]]!r} and {cell!r}")
            columns[column] = (index, scales[unit])
    if "time" not in columns or not ("watts" in columns or {"volts", "amps"} <= columns.keys()):
        raise InputError(
            f"{path}: the header has {', '.join(repr(cell) for cell in header)[:120]}; needed are a time and watts, or "
            "volts and amps, such as: time (s),power (mW)"
        )
    return columns


def _moment(place: str, cell: str, scale: float, delimiter: str) -> tuple[float, bool]:
    """Return (seconds, whether they are a date)."""
    text = cell.strip()
    if re.match(r"\d{4}-\d\d-\d\d[T ]", text):
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise InputError(f"{place}: {text!r} is no ISO date; write 2026-01-31T12:00:00.5Z") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), True
    seconds = _number(place, text, delimiter) * scale
    return seconds, seconds > _EPOCH


def _number(place: str, cell: str, delimiter: str) -> float:
    text = cell.strip()
    if delimiter == ";":  # where commas do not part the cells they may part the fractions
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{place}: {cell.strip()[:40]!r} is no number; fix the row") from None
    if not math.isfinite(value):
        raise InputError(f"{place}: {cell.strip()!r} is no finite number; fix the row")
    return value
