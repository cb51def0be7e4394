"""The arithmetic of storing weights in few bits."""

import numpy as np
import pytest
from pocketrank.export.graph.schemes import (
    AFTER_GELU,
    LEAST_GELU,
    SYMMETRIC,
    half_up,
    make_plan,
    quantize_blocks,
    quantize_rows,
    table_block,
    unpaired,
)
from pocketrank.runtime.errors import InputError


@pytest.fixture
def values():
    random = np.random.default_rng(2)
    return (random.normal(size=(40, 72)) * np.exp(random.normal(size=(40, 1)))).astype(np.float32)


@pytest.mark.parametrize(("scheme", "largest"), [("int8", 127), ("int7", 64)])
def test_rows_are_restored_within_half_a_step(values, scheme, largest):
    quantized = quantize_rows(values, scheme)
    step = np.abs(values).max(1, keepdims=True) / largest
    assert (np.abs(quantized.restored() - values) <= 0.502 * step).all()
    assert quantized.scales.shape == (40, 1)
    assert quantized.codes.dtype == (np.uint8 if scheme == "int8" else np.int8)


def test_blocks_are_restored_within_half_a_step_and_the_last_block_may_be_short(values):
    quantized = quantize_blocks(values, "int4", 32)
    assert quantized.codes.shape == values.shape
    assert quantized.scales.shape == (40, 3)
    for block in range(3):
        part = values[:, 32 * block : 32 * block + 32]
        step = np.abs(part).max(1, keepdims=True) / 7
        error = np.abs(quantized.restored()[:, 32 * block : 32 * block + 32] - part)
        assert (error <= 0.51 * step).all()


def test_codes_keep_away_from_what_saturates(values):
    assert np.abs(quantize_rows(values, "int7").codes).max() == 64
    assert 2 * 255 * 64 < 2**15
    codes = quantize_rows(values, "int8").codes
    assert codes.min() >= 1
    assert codes.max() <= 255


def test_four_bit_codes_are_packed_first_value_low(values):
    quantized = quantize_blocks(values, "int4", 32)
    packed = quantized.packed()
    assert packed.shape == (40, 36)
    assert np.array_equal(packed & 15, quantized.codes[:, 0::2])
    assert np.array_equal(packed >> 4, quantized.codes[:, 1::2])


def test_zero_rows_and_tiny_rows_survive():
    values = np.zeros((3, 32), np.float32)
    values[1] = 1e-9
    values[2, 0] = 1e-5
    for scheme in ("int8", "int7", "int4"):
        restored = quantize_rows(values, scheme).restored()
        assert np.isfinite(restored).all()
        assert not restored[0].any()
        assert abs(restored[2, 0] - 1e-5) < 2e-6


def test_half_up_never_rounds_down():
    values = np.random.default_rng(0).uniform(1e-8, 10, 10_000).astype(np.float32)
    rounded = half_up(values).astype(np.float32)
    assert (rounded >= values).all()
    assert (rounded <= values * 1.001 + 6e-8).all()


def test_plans_keep_positions_at_eight_bits_and_vectors_whole_only_in_fp32():
    assert make_plan("int4", "int8").positions == "int8"
    assert make_plan("fp32", "fp32").vector == "fp32"
    assert make_plan("fp32", "fp32", {"layer0.qkv": "int8"}).vector == "fp16"


def test_two_codes_of_four_bits_share_a_byte_and_come_apart_again(values):
    quantized = quantize_blocks(values, "int4", 24)
    paired = quantized.paired()
    assert paired.shape == (40, 36) and paired.dtype == np.int8
    assert np.array_equal(unpaired(paired), quantized.signed())
    high = np.rint(paired / np.float32(16))  # what the graph does
    assert np.array_equal(np.concatenate([paired - 16 * high, high], axis=-1), quantized.signed())


@pytest.mark.parametrize(("width", "block"), [(192, 32), (8, 8), (24, 24), (40, 20), (48, 24), (96, 32), (136, 17)])
def test_blocks_of_a_table_are_equal_so_that_a_narrow_one_is_not_padded(width, block):
    assert table_block(width) == block


@pytest.mark.parametrize("width", [33, 74])
def test_widths_that_do_not_fit_are_refused_with_one_that_does(width):
    with pytest.raises(InputError, match=r"int8 for the table.*48|int8 for the table.*80"):
        table_block(width)


def test_activation_codes_stay_in_a_byte_and_reach_what_a_gelu_gives():
    from math import erf, sqrt

    for code in (SYMMETRIC, AFTER_GELU):
        assert code.zero + code.largest == 255
    assert SYMMETRIC.zero - SYMMETRIC.largest >= 0
    least = min(x * 0.5 * (1 + erf(x / sqrt(2))) for x in np.linspace(-3, 0, 3001))
    tanh = min(x * 0.5 * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))) for x in np.linspace(-3, 0, 3001))
    assert LEAST_GELU < min(least, tanh) < LEAST_GELU + 1e-3
    assert AFTER_GELU.zero + LEAST_GELU / AFTER_GELU.smallest_range(LEAST_GELU) * AFTER_GELU.largest >= -1e-6
