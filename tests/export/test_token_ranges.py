"""Linear layers in 7 bits: a token's vector depends on its text alone, whatever else is in the batch."""

import numpy as np
import onnx
import onnxruntime
import pytest
from builders.small_student import small_model
from pocketrank.export.bundle.golden import tolerance
from pocketrank.export.graph.schemes import FP32, Plan, make_plan, quantize_rows
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import encode_ids, open_graph
from pocketrank.runtime.errors import InputError

BATCH = 1e-6  # of a coordinate: alone against any batch


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> TransformerWeights:
    folder = tmp_path_factory.mktemp("weights")
    small_model(folder)
    return read_weights(folder)


@pytest.fixture(scope="module")
def ids() -> list[list[int]]:
    random = np.random.default_rng(5)
    return [random.integers(1, 200, length).tolist() for length in random.integers(2, 60, 32)]


def together(data: bytes, rows: list[list[int]], padding: int = 0) -> np.ndarray:
    """Return the vectors of one padded batch."""
    longest = max(map(len, rows))
    batch = np.array([row + [padding] * (longest - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return np.asarray(open_graph(data).run(["sentence_embedding"], {"input_ids": batch, "attention_mask": mask})[0])


@pytest.mark.parametrize("table", ["int8", "int4"])
@pytest.mark.parametrize("linear", ["int7", "int7-exact", "int4", "fp16"])
def test_a_vector_is_the_same_alone_and_in_a_batch_of_32_mixed_lengths(weights, ids, table, linear) -> None:
    data = write_graph(weights, make_plan(table, linear))
    alone = encode_ids(data, ids)
    assert np.abs(together(data, ids) - alone).max() < BATCH
    assert np.abs(together(data, ids, padding=199) - alone).max() < BATCH


def test_an_outlier_in_one_token_costs_the_others_nothing(weights, ids) -> None:
    """A channel of [CLS] as large as trained students have them: the rest of the text keeps its codes."""
    tensors = dict(weights.tensors)
    loud = tensors["encoder.layer.0.intermediate.dense.bias"].copy()
    position = tensors["embeddings.position_embeddings.weight"].copy()
    position[0] *= 20
    loud[3] += 40
    tensors |= {
        "encoder.layer.0.intermediate.dense.bias": loud,
        "embeddings.position_embeddings.weight": position,
    }
    changed = TransformerWeights(weights.config, tensors)
    data, expected = write_graph(changed, make_plan("fp32", "int7")), encode_ids(write_graph(changed, FP32), ids)
    assert (encode_ids(data, ids) * expected).sum(1).min() > 0.999


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_activation_function_has_its_codes(tmp_path, ids, activation) -> None:
    small_model(tmp_path, activation)
    weights = read_weights(tmp_path)
    expected = encode_ids(write_graph(weights, FP32), ids)
    data = write_graph(weights, make_plan("fp32", "int7"))
    assert (encode_ids(data, ids) * expected).sum(1).min() > 0.9995
    zeros = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(data).graph.initializer
             if tensor.name.startswith("zero") and tensor.data_type == onnx.TensorProto.UINT8]  # fmt: skip
    assert sorted(map(int, zeros)) == ([128] if activation == "relu" else [32, 128])


def test_a_token_of_zeros_alone_gives_zeros(weights) -> None:
    """Such as [SEP] of a static student, whose weight is none: its range is zero."""
    table = weights.tensors["embeddings.word_embeddings.weight"].copy()
    table[3] = 0
    tensors = {"embeddings.word_embeddings.weight": table, "projection.weight": weights.tensors["projection.weight"]}
    static = TransformerWeights(weights.config | {"num_hidden_layers": 0}, tensors)
    session = onnxruntime.InferenceSession(write_graph(static, make_plan("int4", "int7")))
    ids = np.array([[2, 9, 3], [3, 3, 3]])
    tokens, vectors = map(np.asarray, session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)}))
    assert np.isfinite(tokens).all() and not tokens[0, 2].any() and not tokens[1].any()
    assert np.isfinite(vectors).all() and not vectors[1].any()


def test_exact_layers_compute_what_their_codes_stand_for(weights, ids) -> None:
    data = write_graph(weights, Plan(linear="int7-exact"))
    rounded = {
        name: quantize_rows(values, "int7").restored() if values.ndim == 2 and "embeddings" not in name else values
        for name, values in weights.tensors.items()
    }
    expected = encode_ids(write_graph(TransformerWeights(weights.config, rounded), FP32), ids)
    assert np.abs(encode_ids(data, ids) - expected).max() < 1e-6


def test_schemes_stay_where_they_belong(weights) -> None:
    with pytest.raises(InputError, match="linear layers"):
        write_graph(weights, make_plan("int7", "int7"))
    with pytest.raises(InputError, match="int8 is a scheme of tables"):
        write_graph(weights, make_plan("int8", "int8"))


def test_only_files_that_round_while_they_run_may_differ_elsewhere() -> None:
    assert tolerance(make_plan("int4", "int7")) == tolerance(make_plan("int8", "int4")) == 1e-2
    assert tolerance(make_plan("int8", "int7-exact")) < 1e-4
