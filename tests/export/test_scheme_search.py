"""What each tensor loses alone, and the mix of schemes that fits a number of bytes."""

import dataclasses

import numpy as np
import pytest
from builders.small_student import small_model
from pocketrank.export.graph.schemes import FP32, Plan, make_plan
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import encode_ids
from pocketrank.export.quantization.scheme_search import choose_schemes, chosen_plan, scheme_table
from pocketrank.export.quantization.sensitivity import (
    Sensitivity,
    choosable,
    measure_sensitivity,
    read_sensitivity,
    sensitivity_table,
    write_sensitivity,
)
from pocketrank.export.size.explain import explain_path
from pocketrank.pipeline.quantize.plan_choice import target_bytes, training_subset
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.settings import QuantizeSettings
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> TransformerWeights:
    folder = tmp_path_factory.mktemp("weights")
    small_model(folder)
    return read_weights(folder)


@pytest.fixture(scope="module")
def ids() -> list[list[int]]:
    random = np.random.default_rng(5)
    return [random.integers(1, 200, length).tolist() for length in random.integers(2, 40, 24)]


@pytest.fixture(scope="module")
def sensitivity(weights: TransformerWeights, ids: list[list[int]]) -> Sensitivity:
    return measure_sensitivity(weights, ids, NoProgress(), lambda data: {"symmetric": 0.5 - 1e-9 * len(data)})


def size(weights):
    return lambda plan: len(write_graph(weights, plan))


def test_each_tensor_is_measured_alone(weights, ids, sensitivity):
    assert list(choosable(weights)) == list(dict.fromkeys(row.tensor for row in sensitivity.tensors))
    expected = encode_ids(write_graph(weights, FP32), ids)
    for row in sensitivity.tensors:
        if row.scheme in ("int4", "int7") and row.tensor in ("table", "layer1.qkv"):
            data = write_graph(weights, Plan(tensors={row.tensor: row.scheme}))
            assert row.bytes_saved == sensitivity.fp32_bytes - len(data)
            cosine = (encode_ids(data, ids) * expected).sum(1).mean()
            assert row.cosine_loss == pytest.approx(1 - cosine, abs=1e-6)
            assert row.ndcg10_loss["symmetric"] == pytest.approx(-1e-9 * row.bytes_saved, rel=1e-4)
    four, eight = sensitivity.find("table", "int4"), sensitivity.find("table", "int8")
    assert four and eight
    assert four.cosine_loss > 10 * eight.cosine_loss > 0
    assert four.bytes < 0.65 * eight.bytes
    assert sensitivity.find("positions", "int4") is None


def test_it_is_the_same_each_time_and_survives_its_file(weights, ids, sensitivity, tmp_path):
    again = measure_sensitivity(weights, ids, NoProgress(), lambda data: {"symmetric": 0.5 - 1e-9 * len(data)})
    assert again == sensitivity
    write_sensitivity(tmp_path / "sensitivity.json", sensitivity)
    assert read_sensitivity(tmp_path / "sensitivity.json") == sensitivity
    assert len(sensitivity_table(sensitivity).splitlines()) == len(sensitivity.tensors) + 2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_a_budget_is_met_and_used(weights, sensitivity, share):
    least = choose_schemes(sensitivity, 10**9, size(weights), {}, "int7").bytes
    smallest = len(write_graph(weights, chosen_plan(dict.fromkeys(choosable(weights), "int4") | {"positions": "int8"})))
    target = int(smallest + share * (least - smallest))
    choice = choose_schemes(sensitivity, target, size(weights), {}, "int7")
    assert choice.bytes == len(write_graph(weights, choice.plan)) <= target
    # No single tensor can be given back without breaking the budget.
    for tensor, scheme in choice.tensors.items():
        now = sensitivity.find(tensor, scheme)
        assert now
        for row in sensitivity.tensors:
            allowed = row.scheme in ("fp16", "int4", "int8" if tensor in ("table", "positions") else "int7")
            if allowed and row.tensor == tensor and row.cosine_loss < now.cosine_loss:
                assert len(write_graph(weights, chosen_plan({**choice.tensors, tensor: row.scheme}))) > target
    table = scheme_table(choice, sensitivity)
    assert all(f"| {tensor} | {scheme} |" in table for tensor, scheme in choice.tensors.items())


def test_it_loses_less_than_the_same_bytes_spent_evenly(weights, ids, sensitivity):
    even = chosen_plan({name: {"table": "int4", "positions": "int8"}.get(name, "int7") for name in choosable(weights)})
    data = write_graph(weights, even)
    choice = choose_schemes(sensitivity, len(data), size(weights), {})
    expected = encode_ids(write_graph(weights, FP32), ids)
    lost = [1 - (encode_ids(each, ids) * expected).sum(1).mean() for each in (write_graph(weights, choice.plan), data)]
    assert lost[0] <= lost[1] + 1e-6


def test_pinned_tensors_stay(weights, sensitivity):
    choice = choose_schemes(sensitivity, 10**9, size(weights), {"layer0.qkv": "int4"})
    assert choice.tensors["layer0.qkv"] == "int4"
    assert choice.tensors["table"] == "fp16"
    with pytest.raises(InputError, match=r"layer9\.qkv"):
        choose_schemes(sensitivity, 10**9, size(weights), {"layer9.qkv": "int4"})


def test_what_cannot_be_met_is_refused_with_the_smallest_possible(weights, sensitivity):
    plan = chosen_plan(dict.fromkeys(choosable(weights), "int4") | {"positions": "int8"})
    smallest = len(write_graph(weights, plan))
    with pytest.raises(InputError, match=f"{smallest:,}"):
        choose_schemes(sensitivity, smallest - 1, size(weights), {}, "int7")
    assert choose_schemes(sensitivity, smallest, size(weights), {}, "int7").bytes == smallest


def test_targets_are_read_with_their_units():
    assert target_bytes(QuantizeSettings(target_bytes="1.5 MB")) == 1_500_000
    assert target_bytes(QuantizeSettings(target_bytes="1 MiB")) == 1_048_576
    for wrong in ("1.5", "a lot", "0 MB"):
        with pytest.raises(InputError, match="target_bytes"):
            target_bytes(QuantizeSettings(target_bytes=wrong))


def test_the_training_subset_has_what_its_queries_ask_for_and_no_test_query():
    documents = {f"d{number}": f"text {number}" for number in range(50)}
    queries = {f"q{number}": f"query {number}" for number in range(8)}
    qrels = {"train": {"q1": {"d40": 1}, "q2": {"d41": 1, "d0": 0}}, "test": {"q3": {"d7": 1}}}
    subset = training_subset(RetrievalSet(documents, {}, queries, qrels), ["q1", "q2"], 10)
    assert set(subset.queries) == {"q1", "q2"} and set(subset.qrels) == {"train"}
    assert {"d40", "d41", "d0"} <= set(subset.documents) and len(subset.documents) == 10
    assert list(subset.documents) == sorted(subset.documents, key=list(documents).index)


@pytest.mark.parametrize(
    ("table", "linear"), [("fp32", "fp32"), ("int8", "int7"), ("fp16", "int7-exact"), ("int4", "int4")]
)
def test_inspect_names_measured_savings_of_the_true_bytes(weights, sensitivity, tmp_path, table, linear):
    plan = make_plan(table, linear)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model_quantized.onnx").write_bytes(write_graph(weights, plan))
    assert not explain_path(tmp_path).costs_measured
    write_sensitivity(tmp_path / "sensitivity.json", sensitivity)
    explained = explain_path(tmp_path)
    assert explained.costs_measured
    now = len(write_graph(weights, plan))
    for saving in explained.size_reductions:
        tensor, _, rest = saving.action.partition(" in ")
        scheme, _, before = rest.partition(" instead of ")
        assert before == plan.scheme(tensor, choosable(weights)[tensor])
        assert "(measured)" in saving.cost
        smaller = write_graph(weights, dataclasses.replace(plan, tensors={tensor: scheme}))
        assert now - len(smaller) == pytest.approx(saving.bytes, abs=80) and saving.bytes > 0
    best = [saving.relative_loss / saving.bytes for saving in explained.size_reductions[:1]]
    assert bool(best) is (table != "int4") and all(value < 1e-5 for value in best)
