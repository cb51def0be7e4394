"""Quantization-aware training: the file's codes are the trained ones, and the bytes do not depend on how it ran."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from builders import small_models
from builders.small_student import small_model
from pocketrank.export.graph.schemes import FP32, Plan, make_plan
from pocketrank.export.graph.weights import POSITIONS, TOKEN_TYPES, TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.rounding import graph_names, rounding
from pocketrank.pipeline.distill.optimizer import learning_rate
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.fingerprint import distill_fingerprint
from pocketrank.pipeline.settings import DistillSettings, QuantizeSettings, Recipe, StudentSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

STUDENT = StudentSettings(layers=1, hidden=32, heads=2, intermediate=64, max_length=24, initialise="random")
INT4 = QuantizeSettings(table="int4", linear="int4", tensors={"layer0.expand": "int7"})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder, documents=40, training=200)
    small_models.make_vectors(folder)
    return folder


def context(inputs: Path, folder: Path, quantize: QuantizeSettings = INT4, **changes: int | float) -> StageContext:
    settings = {"steps": 30, "quantize_aware_steps": 20, "batch_texts": 12, "warmup_steps": 5, "workers": 1}
    recipe = Recipe("test", student=STUDENT, distill=DistillSettings(**settings | changes), quantize=quantize)
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {name: inputs / name for name in ("corpus", "queries", "vocabulary", "teacher")}
    return StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress())


def as_stored(weights: TransformerWeights, plan: Plan) -> TransformerWeights:
    """Return the weights that the file of `plan` holds: positions with the first token type, everything rounded."""
    tensors = dict(weights.tensors)
    tensors[POSITIONS] = tensors[POSITIONS] + tensors[TOKEN_TYPES][0]
    tensors[TOKEN_TYPES] = np.zeros_like(tensors[TOKEN_TYPES])
    rounded = {name: rounding(name, plan, weights.layers)(values) for name, values in tensors.items()}
    return dataclasses.replace(weights, tensors=rounded)


def result(folder: Path) -> bytes:
    return (folder / "output" / "student" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    run_distill(context(inputs, folder))
    return folder


def test_the_trained_weights_are_the_stored_ones(alone: Path) -> None:
    weights = read_weights(alone / "output" / "student")
    plan = make_plan("int4", "int4", INT4.tensors)
    stored = as_stored(weights, plan)
    assert all(np.array_equal(weights.tensors[name], values) for name, values in stored.tensors.items())
    assert write_graph(stored, plan) == write_graph(weights, plan)
    others = as_stored(weights, make_plan("int4", "int7"))
    assert not np.array_equal(weights.tensors["projection.weight"], others.tensors["projection.weight"])


def test_it_learns_to_live_with_few_bits(inputs: Path, alone: Path, tmp_path: Path) -> None:
    run_distill(context(inputs, tmp_path, steps=50, quantize_aware_steps=0))
    points = json.loads((alone / "output" / "log.json").read_text())["points"]
    assert [point["step"] for point in points][-1] == 50
    rounded = as_stored(read_weights(tmp_path / "output" / "student"), make_plan("int4", "int4", INT4.tensors))
    loss = {point["step"]: point["loss"] for point in points}
    assert np.mean([loss[step] for step in range(41, 51)]) < np.mean([loss[step] for step in range(31, 41)])
    assert not np.array_equal(
        rounded.tensors["projection.weight"], read_weights(alone / "output" / "student").tensors["projection.weight"]
    )


def test_two_processes_give_the_same_bytes(inputs: Path, alone: Path, tmp_path: Path) -> None:
    run_distill(context(inputs, tmp_path, workers=2))
    assert result(tmp_path) == result(alone)


@pytest.mark.parametrize("stop", [20, 30, 41])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    inputs: Path, alone: Path, tmp_path: Path, monkeypatch, stop: int
) -> None:
    from pocketrank.pipeline.distill.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self: Trainer, progress: object) -> None:
        if self.step == stop:
            raise KeyboardInterrupt
        step(self, progress)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_distill(context(inputs, tmp_path, checkpoint_seconds=0))
    monkeypatch.setattr(Trainer, "train_step", step)
    assert (tmp_path / "work" / "checkpoint.safetensors").exists()
    run_distill(context(inputs, tmp_path))
    assert result(tmp_path) == result(alone)


def test_without_it_nothing_changes(inputs: Path, tmp_path: Path) -> None:
    for number, quantize in enumerate((INT4, QuantizeSettings())):
        run_distill(context(inputs, tmp_path / str(number), quantize, steps=8, quantize_aware_steps=0))
    assert result(tmp_path / "0") == result(tmp_path / "1")


@pytest.mark.parametrize(("table", "linear"), [("int8", "int7"), ("int4", "int4"), ("fp16", "int7-exact")])
def test_rounding_twice_is_rounding_once(tmp_path: Path, table, linear) -> None:
    small_model(tmp_path)
    weights, plan = read_weights(tmp_path), make_plan(table, linear)
    stored = as_stored(weights, plan)
    again = as_stored(stored, plan)
    assert all(np.array_equal(again.tensors[name], values) for name, values in stored.tensors.items())
    assert write_graph(weights, plan) == write_graph(stored, plan)
    assert write_graph(as_stored(weights, FP32), FP32) == write_graph(weights, FP32)


def test_every_matrix_has_its_name_in_the_graph(tmp_path: Path) -> None:
    small_model(tmp_path)
    weights = read_weights(tmp_path)
    named = graph_names(weights.layers)
    matrices = {name for name, value in weights.tensors.items() if value.ndim == 2 and "token_type" not in name}
    assert matrices <= set(named)
    for name in matrices - {"embeddings.position_embeddings.weight"}:
        plan = Plan(tensors={named[name][0]: "int4"})
        changed = [
            key
            for key, value in as_stored(weights, plan).tensors.items()
            if not np.array_equal(value, weights.tensors[key])
        ]
        assert name in changed and len(set(changed) & matrices - {"embeddings.position_embeddings.weight"}) in (1, 3)


def test_a_changed_plan_trains_again_only_when_training_rounds() -> None:
    recipe = Recipe("test", distill=DistillSettings(quantize_aware_steps=5))
    other = dataclasses.replace(recipe, quantize=INT4)
    assert distill_fingerprint(recipe) != distill_fingerprint(other)
    plain = dataclasses.replace(recipe, distill=DistillSettings())
    assert distill_fingerprint(plain) == distill_fingerprint(dataclasses.replace(plain, quantize=INT4))


def test_what_cannot_be_done_is_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="target_bytes"):
        run_distill(context(inputs, tmp_path, QuantizeSettings(target_bytes="1 MB")))


def test_the_rate_starts_again_and_falls() -> None:
    settings = DistillSettings(steps=10, quantize_aware_steps=4, quantize_aware_learning_rate=1e-3)
    assert [round(learning_rate(settings, step), 6) for step in (10, 11, 13)] == [1e-3, 7.5e-4, 2.5e-4]
