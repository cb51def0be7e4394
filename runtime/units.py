"""Quantities in words: "3 ms", "4 MB", "10 %", "6 M" to numbers, and back."""

import re

from .errors import InputError

_SCALES = {
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0},
    "B": {
        "B": 1.0,
        **{f"{prefix}B": 1000.0**power for power, prefix in enumerate(("k", "M", "G"), start=1)},
        "KB": 1e3,
        **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate(("K", "M", "G"), start=1)},
    },
    "J": {"J": 1.0, "mJ": 1e-3, "µJ": 1e-6, "uJ": 1e-6, "Wh": 3600.0, "mWh": 3.6},
    "1/s": {"1/s": 1.0, "/s": 1.0, "k/s": 1e3},
    "instructions": {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9},
    "1": {"": 1.0, "%": 0.01, "x": 1.0},
}
_LARGEST = 1e30
_QUANTITY = re.compile(r"\s*([-+]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*")


def parse_quantity(text: str | float | int, unit: str, place: str) -> float:
    """Return `text` in `unit`; a bare number is taken to be in `unit` already where that cannot be misread.

    Raises `InputError` that names `place`, the value and the units that are known.
    """
    scales = _SCALES[unit]
    known = ", ".join(name for name in scales if name) or "a plain number"
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{place} = {text!r} must be a quantity in {known}; fix the value")
    if isinstance(text, (int, float)):
        if unit not in ("1", "instructions", "B"):
            raise InputError(f"{place} = {text!r} has no unit; write it as a string with one of: {known}")
        value = text
    else:
        match = _QUANTITY.fullmatch(text)
        if match is None or match[2] not in scales:
            raise InputError(f"{place} = {text!r} must be a number and one of: {known}; fix the value")
        value = float(match[1].replace("_", "")) * scales[match[2]]
    if not abs(value) <= _LARGEST:
        raise InputError(f"{place} = {text!r} must be a finite number of usual size; fix the value")
    return float(value)


def format_quantity(value: float | None, unit: str) -> str:
    """Return a value for people, with three significant digits and a fitting unit."""
    if value is None:
        return "-"
    if unit == "1":
        return f"{value:.3g}" if value < 10 else f"{value:.1f}"
    steps = {
        "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)),
        "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)),
        "J": (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6)),
        "1/s": (("k/s", 1e3), ("/s", 1.0)),
        "instructions": (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)),
    }[unit]
    for name, scale in steps:
        if abs(value) >= scale or (name, scale) == steps[-1]:
            return f"{_three_digits(value / scale)} {name}".strip()
    raise AssertionError("unreachable: the last step always fits")


def format_interval(low: float | None, high: float | None, unit: str) -> str:
    """Return an interval for people, or nothing when there is none."""
    if low is None or high is None:
        return ""
    return f"{format_quantity(low, unit)} … {format_quantity(high, unit)}"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"
