"""Which bits each tensor is stored in, and the arithmetic of storing it.

A *scheme* says how one tensor is stored, a *plan* gives every tensor its scheme. The graph writer asks the plan for
each tensor by name, so any mix is possible:

| scheme | linear layer | token table |
| --- | --- | --- |
| fp32 | as trained | as trained |
| fp16 | half precision, widened when the file is loaded | the same |
| int8 | not offered | a scale per row |
| int7 | signed codes of at most 64 in 8 bits, a scale per output channel; activations in 8 bits | not offered |
| int7-exact | the codes of int7, widened when the file is loaded; activations as they are | not offered |
| int4 | 4 bits, a scale per block of 32 inputs; activations in 8 bits per block | 4 bits, a scale per block of values |

Signed 8-bit weights of full range saturate on x86 processors without VNNI, where two products of a signed and an
unsigned byte are added in 16 bits; one file would give other vectors there than on ARM. Signed ones of at most 64 are
exact everywhere, since 2 * 255 * 64 < 2^15, and are the fast path on x86 with VNNI. The range of the activations of
int7 is that of the token alone, so a vector depends neither on the rest of its batch nor on its padding, and an
outlier in one token costs the others nothing. `docs/explanation/quantization.md` has the measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...runtime.errors import InputError

Scheme = Literal["fp32", "fp16", "int8", "int7", "int7-exact", "int4"]
IntegerScheme = Literal["int8", "int7", "int4"]

BLOCK = 32  # values that share one scale in 4-bit linear layers; the most that do in a 4-bit table
ZERO_POINT = {"int8": 128, "int7": 0, "int4": 8}  # the code that stands for zero
LARGEST = {"int8": 127, "int7": 64, "int4": 7}  # largest distance from it


@dataclass(frozen=True)
class Plan:
    """Scheme of every tensor: by its own name first, then by its kind.

    Kinds are `table`, `positions`, `linear` and `vector` (biases, normalisation, token weights). Names are those of
    the graph's tensors: `table`, `positions`, `layer0.qkv`, `layer0.attention`, `layer0.expand`, `layer0.contract`,
    `projection`, …
    """

    table: Scheme = "fp32"
    linear: Scheme = "fp32"
    positions: Scheme = "fp32"
    vector: Literal["fp32", "fp16"] = "fp32"
    tensors: Mapping[str, Scheme] = field(default_factory=dict)

    def scheme(self, name: str, kind: str) -> Scheme:
        """Return the scheme of the tensor `name`, which is of `kind`."""
        return self.tensors.get(name, getattr(self, kind))

    @property
    def schemes(self) -> set[Scheme]:
        """Every scheme that the plan may use."""
        return {self.table, self.linear, *self.tensors.values()}


FP32 = Plan()


def make_plan(table: Scheme, linear: Scheme, tensors: Mapping[str, Scheme] | None = None) -> Plan:
    """Return the plan for the two main choices of a recipe.

    Positions follow the table but never below 8 bits (they are few), vectors go to half precision as soon as
    anything else is smaller than fp32.
    """
    positions: Scheme = "int8" if table == "int4" else table
    small = table != "fp32" or linear != "fp32" or bool(tensors)
    return Plan(table, linear, positions, "fp16" if small else "fp32", dict(tensors or {}))


@dataclass(frozen=True)
class Quantized:
    """Codes around a zero point, and what one step is worth.

    `codes` has the shape of the tensor, one code a byte (int8 for the signed schemes, else uint8); `scales` is float16
    with one scale per channel, row or block along the last axis.
    """

    codes: np.ndarray
    scales: np.ndarray
    scheme: IntegerScheme
    block: int  # values of the last axis that share a scale

    def packed(self) -> np.ndarray:
        """Return the bytes as stored: codes as they are, 4-bit codes in pairs, the first in the low half."""
        if self.scheme != "int4":
            return self.codes
        return (self.codes[..., 0::2] | (self.codes[..., 1::2] << 4)).astype(np.uint8)

    def paired(self) -> np.ndarray:
        """Return 4-bit codes [.., width] as int8 [.., width / 2]: the first half, and 16 times the second."""
        first, second = np.split(self.signed(), 2, axis=-1)
        return (first + 16 * second).astype(np.int8)

    def signed(self) -> np.ndarray:
        """Return the codes as int8 around zero, for tensors that are widened before anything is multiplied."""
        return (self.codes.astype(np.int16) - ZERO_POINT[self.scheme]).astype(np.int8)

    def restored(self) -> np.ndarray:
        """Return the float32 values that the codes stand for."""
        scales = np.repeat(self.scales.astype(np.float32), self.block, axis=-1)[..., : self.codes.shape[-1]]
        return (self.codes.astype(np.float32) - ZERO_POINT[self.scheme]) * scales


def quantize_blocks(values: np.ndarray, scheme: IntegerScheme, block: int) -> Quantized:
    """Quantize the last axis of `values` in blocks that share a scale, symmetric around zero.

    The largest magnitude of a block becomes the largest code. Scales are rounded up to float16 first and the codes
    made for the rounded scale, so that storing the scale in half precision costs next to no accuracy.
    """
    width, largest = values.shape[-1], LARGEST[scheme]
    blocks = -(-width // block)
    padded = np.zeros((*values.shape[:-1], blocks * block), np.float32)
    padded[..., :width] = values
    grouped = padded.reshape(*values.shape[:-1], blocks, block)
    scales = half_up(np.abs(grouped).max(axis=-1) / largest)
    steps = np.rint(grouped / np.maximum(scales.astype(np.float32), 1e-30)[..., None])
    codes = np.clip(steps, -largest, largest) + ZERO_POINT[scheme]
    kind = np.uint8 if ZERO_POINT[scheme] else np.int8
    return Quantized(codes.astype(kind).reshape(padded.shape)[..., :width], scales, scheme, block)


def quantize_rows(values: np.ndarray, scheme: IntegerScheme) -> Quantized:
    """Quantize each row of `values` with one scale."""
    return quantize_blocks(values, scheme, values.shape[-1])


def half_up(values: np.ndarray) -> np.ndarray:
    """Return the nearest float16 that is not smaller."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float16)
    return np.where(rounded.astype(np.float32) < values, np.nextafter(rounded, np.float16(np.inf)), rounded)


def unpaired(pairs: np.ndarray) -> np.ndarray:
    """Return the codes around zero, int8 [.., width], of what `Quantized.paired` gave."""
    second = (pairs.astype(np.int16) + 8) >> 4  # the nearest sixteenth
    return np.concatenate([pairs - 16 * second, second], axis=-1).astype(np.int8)


@dataclass(frozen=True)
class ActivationCode:
    """Unsigned 8-bit codes of a token's values: `zero` stands for zero, `zero + largest` for the largest value."""

    largest: int
    zero: int

    def smallest_range(self, least: float) -> float:
        """Return the range that a token must have at least so that the value `least` (below zero) has a code."""
        return -least * self.largest / self.zero


SYMMETRIC = ActivationCode(largest=127, zero=128)
# After a GELU nothing is below -0.17, so that positive values may have most of the codes.
LEAST_GELU = -0.1702  # of the exact function and of its approximation by tanh
AFTER_GELU = ActivationCode(largest=223, zero=32)


def table_block(width: int) -> int:
    """Return how many values of a row of a 4-bit table share a scale: equal blocks, of at most `BLOCK` values.

    Raises `InputError` for an odd width, which cannot be packed in pairs, and for one without a divisor near `BLOCK`.
    """
    block = max(size for size in range(1, BLOCK + 1) if width % size == 0)
    if width % 2 or block < min(width, BLOCK // 4):
        raise InputError(
            f"rows of {width} values cannot be stored in 4 bits, which takes an even number of values in equal blocks "
            f"of {BLOCK // 4} to {BLOCK}; use int8 for the table, or another width such as {-(-width // 16) * 16}"
        )
    return block
