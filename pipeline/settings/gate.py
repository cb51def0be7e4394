"""`[gate]`."""

from dataclasses import dataclass

from ...runtime.schema import key


@dataclass(frozen=True)
class GateSettings:
    """The budget that the bundle is held to."""

    budget: str = key("", "Budget file (TOML); empty: no gate.")
    baseline: str = key("", "Report of an older bundle, for the budget's `[regression]` limits; empty: none.")
