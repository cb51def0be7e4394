"""Weights that are read back from a file are those that its plan stores."""

import json
from pathlib import Path

import numpy as np
import pytest
from pocketrank.export.graph.schemes import Plan, make_plan
from pocketrank.export.graph.stored_weights import read_stored_weights
from pocketrank.export.graph.weights import POSITIONS, TABLE_FACTOR, TOKEN_TYPES, TransformerWeights, layer_shapes
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import encode_ids
from pocketrank.export.quantization.rounding import rounding
from pocketrank.runtime.errors import InputError

CONFIG = {
    "model_type": "bert", "vocab_size": 50, "hidden_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 72, "hidden_act": "gelu", "max_position_embeddings": 20,
}  # fmt: skip


def weights(rank: int = 0) -> TransformerWeights:
    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {"embeddings.word_embeddings.weight": (50, rank or 40), POSITIONS: (20, 40)}
    shapes |= {f"embeddings.LayerNorm.{part}": (40,) for part in ("weight", "bias")}
    for layer in range(2):
        shapes |= {f"encoder.layer.{layer}.{name}": shape for name, shape in layer_shapes(40, 72).items()}
    shapes |= {"projection.weight": (16, 40), "projection.bias": (16,)} | ({TABLE_FACTOR: (40, rank)} if rank else {})
    return TransformerWeights(
        CONFIG, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    )


@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        make_plan("fp16", "fp16"),
        make_plan("int8", "int7"),
        make_plan("int8", "int7-exact"),
        make_plan("int4", "int4", {"layer1.expand": "int7", "layer0.contract": "fp16"}),
    ],
    ids=lambda plan: f"{plan.table}-{plan.linear}{'-mixed' if plan.tensors else ''}",
)
def test_what_is_read_is_what_the_plan_stores(plan: Plan, rank: int, tmp_path: Path) -> None:
    trained = weights(rank)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.onnx").write_bytes(write_graph(trained, plan))
    stored = read_stored_weights(tmp_path / "config.json", tmp_path / "model.onnx").tensors
    assert not stored.pop(TOKEN_TYPES).any()
    assert stored.keys() == trained.tensors.keys()
    for name, values in stored.items():
        np.testing.assert_array_equal(values, rounding(name, plan, 2)(trained.tensors[name]), err_msg=name)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(InputError, match="no whole ONNX file"):
        read_stored_weights(tmp_path / "config.json", path)
    path.write_bytes(write_graph(weights()))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"not a graph of this version.*layer2"):
        read_stored_weights(tmp_path / "config.json", path)


def test_files_of_earlier_versions_open_and_are_read(tmp_path: Path) -> None:
    """Ranges of a whole batch, unsigned linear layers, and a table in `GatherBlockQuantized`."""
    older = Path(__file__).parent / "older_graph.onnx"
    config = CONFIG | {
        "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    stored = read_stored_weights(tmp_path / "config.json", older)
    ids = [[2, 9, 17, 3], [2, 28, 3]]
    cosines = (encode_ids(older.read_bytes(), ids) * encode_ids(write_graph(stored), ids)).sum(1)
    assert cosines.min() > 0.999
    again = tmp_path / "again.onnx"
    again.write_bytes(write_graph(stored, make_plan("int4", "int7", {"layer0.expand": "fp16"})))
    read = read_stored_weights(tmp_path / "config.json", again).tensors
    same = [name for name, values in stored.tensors.items() if np.array_equal(read[name], values)]
    assert set(stored.tensors) - set(same) <= {"encoder.layer.0.intermediate.dense.weight"}
