"""Schemes of linear layers beyond the first three: measured ranges, and the full signed range."""

import numpy as np
import onnx
import onnxruntime
import pytest
from builders.small_student import small_model
from pocketrank.export.bundle.golden import tolerance
from pocketrank.export.graph.schemes import FP32, STATIC, activation_code, make_plan, quantize_rows
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.calibrate import activation_ranges, calibrate, encode_ids
from pocketrank.export.quantization.presets import PRESETS
from pocketrank.pipeline.quantize.recipe_plan import recipe_plan
from pocketrank.pipeline.settings import QuantizeSettings
from pocketrank.runtime.errors import InputError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> TransformerWeights:
    folder = tmp_path_factory.mktemp("weights")
    small_model(folder)
    return read_weights(folder)


@pytest.fixture(scope="module")
def ids() -> list[list[int]]:
    random = np.random.default_rng(5)
    return [random.integers(1, 200, length).tolist() for length in random.integers(2, 40, 60)]


def test_static_layers_follow_the_fp32_graph_and_keep_unsigned_activations(weights, ids):
    plan = calibrate(make_plan("int8", STATIC), weights, ids[:30])
    data = write_graph(weights, plan)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=False)
    zeros = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".input_zero")]
    assert len(zeros) == 9 and all(tensor.data_type == onnx.TensorProto.UINT8 for tensor in zeros)
    expected = encode_ids(write_graph(weights, FP32), ids[30:])
    assert ((encode_ids(data, ids[30:]) * expected).sum(1) > 0.995).all()
    assert write_graph(weights, calibrate(make_plan("int8", STATIC), weights, ids[:30])) == data


def test_static_vectors_do_not_depend_on_the_batch(weights, ids):
    def together(linear) -> float:
        data = write_graph(weights, calibrate(make_plan("int8", linear), weights, ids))
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        rows = [row for row in ids if len(row) > 2][:8]
        longest = max(map(len, rows))
        batch = np.array([row + [0] * (longest - len(row)) for row in rows])
        mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        found = session.run(["sentence_embedding"], {"input_ids": batch, "attention_mask": mask})[0]
        return float(np.abs(found - encode_ids(data, rows)).max())

    assert together(STATIC) < 1e-6 < together("int7")


def test_static_layers_need_their_ranges(weights):
    with pytest.raises(InputError, match=r"layer0\.qkv.*range"):
        write_graph(weights, make_plan("int8", STATIC))
    with pytest.raises(InputError, match="training texts"):
        activation_ranges(weights, [])
    with pytest.raises(InputError, match="linear layers"):
        write_graph(weights, make_plan(STATIC, "int7"))


def test_ranges_are_those_of_the_layers(weights, ids):
    ranges = activation_ranges(weights, ids)
    assert set(ranges) == {
        *(f"layer{n}.{part}" for n in (0, 1) for part in ("qkv", "attention", "expand", "contract")), "projection"
    }  # fmt: skip
    assert all(low < 0 < high for low, high in ranges.values())
    assert ranges["layer0.contract"][0] > -0.2  # what comes out of a GELU is never below -0.17
    fewer = activation_ranges(weights, ids[:5])
    assert all(ranges[name][0] <= fewer[name][0] and fewer[name][1] <= ranges[name][1] for name in ranges)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)])
def test_zero_is_always_a_code_and_the_ends_are_reached(low, high):
    scale, zero = activation_code(low, high)
    codes = np.clip(np.rint(np.array([0.0, low, high]) / scale) + zero, 0, 255)
    assert codes[0] == zero
    assert np.abs((codes - float(zero)) * scale - [0.0, low, high]).max() <= scale


def test_full_signed_range_is_finer_than_seven_bits(weights):
    values = weights.tensors["projection.weight"]
    schemes = ("int7", "int8-signed", "int8")
    errors = {scheme: np.abs(quantize_rows(values, scheme).restored() - values).mean() for scheme in schemes}
    assert errors["int8-signed"] == errors["int8"] < 0.6 * errors["int7"]
    assert np.abs(quantize_rows(values, "int8-signed").codes).max() == 127


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_decides_where_the_recipe_does_not(name):
    assert recipe_plan(QuantizeSettings(preset=name)).linear == PRESETS[name]
    assert recipe_plan(QuantizeSettings(preset=name, linear="fp16")).linear == "fp16"
    assert tolerance(recipe_plan(QuantizeSettings(preset=name))) == 1e-2
