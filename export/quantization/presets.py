"""Which 8-bit scheme suits the linear layers on which family of processors, and why."""

from dataclasses import dataclass

from ..graph.schemes import Scheme


@dataclass(frozen=True)
class Preset:
    """A family of processors and the scheme of linear layers that is best there."""

    linear: Scheme
    processors: str
    why: str
    exact_everywhere: bool  # the file gives the same vectors on every processor, not only on those it is meant for


PRESETS = {
    "": Preset(
        "int7", "all", "signed codes of at most 64 never saturate and meet the fast kernel of every processor", True
    ),
    "x86-vnni": Preset(
        "int8-signed",
        "x86 with AVX-VNNI or AVX512-VNNI",
        "VNNI adds four products in 32 bits without saturating, so signed codes may use their full range: one bit "
        "more than int7 at the same speed",
        False,
    ),
    "x86": Preset(
        "int7",
        "x86 with AVX2 or AVX-512 and no VNNI",
        "two products are added in 16 bits there; 2 * 255 * 64 still fits, a full signed range does not",
        True,
    ),
    "armv8.0": Preset(
        "int8-signed",
        "ARMv8.0 without dot product: Cortex-A53, A57, A72",
        "signed weights meet the kernel with fewer instructions, and products are added in 32 bits, so the range "
        "may be full",
        False,
    ),
    "armv8.2": Preset(
        "int8",
        "ARMv8.2 with dot product: Cortex-A55, A75, A76 and later",
        "signed and unsigned weights take the same number of instructions there, and unsigned ones use the full range "
        "and stay exact everywhere",
        True,
    ),
}
