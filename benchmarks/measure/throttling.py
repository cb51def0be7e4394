"""What throttled the processor: throttle bits of the firmware, a falling clock."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..records.report import Run

# Bits of `vcgencmd get_throttled` on a Raspberry Pi; the same 16 places higher mean: since the board was switched on.
# https://github.com/raspberrypi/documentation, os/graphics-utilities, get_throttled
THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
CLOCK_FALL = 0.05  # of the clock, from before to after


def throttle_reasons(bits: int | None, before: int | None = None) -> list[str]:
    """Return in words what holds now, or has happened since the reading `before`."""
    if not bits:
        return []
    happened = (bits >> 16) & ~((before or 0) >> 16) if before is not None else 0
    return [word for bit, word in THROTTLE_BITS.items() if (bits | happened) >> bit & 1]


def throttling(runs: Sequence[Run]) -> list[str]:
    """Return what throttled the processor while these processes were timed, the worst case of each kind."""
    reasons: dict[str, None] = {}  # an ordered set
    falls = []
    for run in runs:
        before, after = run.conditions.get("before", {}), run.conditions.get("after", {})
        reasons |= dict.fromkeys(throttle_reasons(after.get("throttled"), before.get("throttled")))
        falls.append(_fall(before, after))
    if max(falls, default=0.0) > CLOCK_FALL:
        reasons[f"the clock fell by up to {max(falls):.0%}"] = None
    return list(reasons)


def _fall(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the fall of the clock, where the processor was warmed up on both readings."""
    first, last = before.get("megahertz"), after.get("megahertz")
    return 1 - last / first if first and last else 0.0
