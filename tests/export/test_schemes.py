"""The arithmetic of storing weights in few bits."""

import numpy as np
import pytest
from pocketrank.export.graph.schemes import half_up, make_plan, quantize_blocks, quantize_rows


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
