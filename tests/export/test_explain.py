"""Every listing of bytes adds up to the file, and the reductions that are offered are real."""

import json

import numpy as np
import onnx
import pytest
from builders.small_student import small_model, small_tokenizer
from onnx import TensorProto, helper, numpy_helper
from pocketrank.export.bundle.tokenizer import compact_tokenizer
from pocketrank.export.graph.schemes import make_plan
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.size.explain import explain_graph, explain_path, explain_tokenizer
from pocketrank.runtime.errors import InputError


def added_up(graph):
    return sum(item.bytes for item in graph.tensors) + sum(item.bytes for item in graph.operators) + graph.rest


@pytest.mark.parametrize(("table", "linear"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8", "int7"), ("int4", "int4")])
def test_bytes_add_up_and_agree_with_the_onnx_package(tmp_path, table, linear):
    small_model(tmp_path, hidden=64)
    data = write_graph(read_weights(tmp_path), make_plan(table, linear))
    graph = explain_graph(data)
    assert graph.total == len(data) == added_up(graph)
    assert 0 < graph.rest < 300
    model = onnx.load_from_string(data)
    stored = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    assert {tensor.name: tensor.values for tensor in graph.tensors} == stored
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert {tensor.name: tensor.shape for tensor in graph.tensors} == shapes
    assert sum(operator.nodes for operator in graph.operators) == len(model.graph.node)
    own = {tensor.name for tensor in graph.tensors if tensor.per_token}
    assert own == ({"table"} if table in ("fp32", "fp16") else {"table", "table.scale"})
    assert sum(operator.tensors for operator in graph.operators) == sum(tensor.bytes for tensor in graph.tensors)


def test_a_foreign_graph_adds_up_too_and_its_table_is_found():
    table = numpy_helper.from_array(np.ones((50, 8), np.float32), "embedding")
    loose = helper.make_tensor("loose", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])  # kept as float_data
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.INT64, name="a node with a name"),
        helper.make_node("Gather", ["embedding", "ids"], ["out"], doc_string="remarks"),
        helper.make_node("Constant", [], ["five"], value=numpy_helper.from_array(np.zeros(100, np.float32))),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["batch", "length"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "length", 8])
    model = helper.make_model(helper.make_graph(nodes, "foreign", [ids], [out], [table, loose]))
    data = model.SerializeToString()
    graph = explain_graph(data)
    assert added_up(graph) == len(data)
    assert {tensor.name: tensor.values for tensor in graph.tensors} == {"embedding": 1600, "loose": 16}
    assert graph.table == next(tensor.bytes for tensor in graph.tensors if tensor.name == "embedding")
    assert next(operator.bytes for operator in graph.operators if operator.operator == "Constant") > 400


def test_the_savings_on_offer_are_what_the_writer_then_saves(tmp_path):
    small_model(tmp_path, hidden=128)
    weights = read_weights(tmp_path)
    now = write_graph(weights, make_plan("int8", "int7"))
    (tmp_path / "now.onnx").write_bytes(now)
    size_reductions = {
        reduction.action: reduction.bytes for reduction in explain_path(tmp_path / "now.onnx").size_reductions
    }
    table = len(now) - len(write_graph(weights, make_plan("int4", "int7")))
    both = len(now) - len(write_graph(weights, make_plan("int4", "int4")))
    assert size_reductions["token table in 4 bits"] == pytest.approx(table, rel=0.05)
    assert size_reductions["linear layers in 4 bits"] == pytest.approx(both - table, rel=0.05)
    smallest = tmp_path / "small.onnx"
    smallest.write_bytes(write_graph(weights, make_plan("int4", "int4")))
    assert explain_path(smallest).size_reductions == ()


@pytest.mark.parametrize("data", [b"", b"\x08", b"not an ONNX file at all", b"\x3a\x05abc"])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(InputError, match="ONNX"):
        explain_graph(data)


def test_tokenizer_parts_add_up():
    pretty = small_tokenizer().to_str(pretty=True).encode()
    for data in (pretty, compact_tokenizer(pretty)):
        parts = explain_tokenizer(data)
        assert sum(parts.parts.values()) + parts.rest == parts.total == len(data)
        assert next(iter(parts.parts)) == "vocabulary"
    assert parts.rest < 200  # compact: only keys and punctuation are left
    with pytest.raises(InputError):
        explain_tokenizer(b"{}")


def test_inspect_prints_sums_that_are_the_file(tmp_path, pocketrank):
    small_model(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(write_graph(read_weights(tmp_path), make_plan("int8", "int7")))
    done = pocketrank("inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    graph = json.loads(done.stdout)["graph"]
    tensors = sum(tensor["values"] + tensor["framing"] for tensor in graph["tensors"])
    assert tensors + sum(item["bytes"] for item in graph["operators"]) + graph["rest"] == path.stat().st_size
    readable = pocketrank("inspect", path)
    assert f"{path.stat().st_size:,}" in readable.stdout
    assert "token table" in readable.stdout
    missing = pocketrank("inspect", tmp_path / "nothing")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
