"""Which 8-bit scheme suits the linear layers on which family of processors.

Files of `int7` and `int8` give the same vectors on every processor, those of `int8-signed` only where they belong.
"""

from ..graph.schemes import Scheme

PRESETS: dict[str, Scheme] = {
    # All: signed codes of at most 64 never saturate and meet the fast kernel of every processor.
    "": "int7",
    # AVX-VNNI or AVX512-VNNI: adds four products in 32 bits without saturating, so that signed codes may use their full
    # range: one bit more than int7 at the same speed.
    "x86-vnni": "int8-signed",
    # AVX2 or AVX-512 without VNNI: two products are added in 16 bits; 2 * 255 * 64 still fits, a full signed range not.
    "x86": "int7",
    # ARMv8.0 without dot product (Cortex-A53, A57, A72): signed weights meet the kernel with fewer instructions, and
    # products are added in 32 bits, so that the range may be full.
    "armv8.0": "int8-signed",
    # ARMv8.2 with dot product (Cortex-A55, A75, A76 and later): signed and unsigned weights take the same number of
    # instructions, and unsigned ones use the full range and stay exact everywhere.
    "armv8.2": "int8",
}
