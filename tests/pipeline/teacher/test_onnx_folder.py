"""Folders with an ONNX graph, as fastembed and Chroma ship them, as teacher."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.tiny_run import write_home
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.onnx_folder.teacher import pool
from pocketrank.pipeline.teacher.onnx_graph import write_teacher
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.shards import encode_texts
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

onnx = pytest.importorskip("onnx")

TEXTS = ["hello world", "merge two sorted lists", "", "open a network connection " * 20]
CONFIGURATIONS = ("config.json", "tokenizer.json", "tokenizer_config.json", "config_sentence_transformers.json")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PyTorch's weights, and beside it its graph as it is exported for feature extraction."""
    folder = small_models.make_teacher(tmp_path_factory.mktemp("onnx") / "teacher")
    teacher: Any = load_teacher(TeacherSettings(model=str(folder)))
    write_teacher(teacher, folder.parent / "graph")
    model = onnx.load(str(folder.parent / "graph" / "model.onnx"))
    (pooled,) = [output for output in model.graph.output if output.name == "sentence_embedding"]
    model.graph.output.remove(pooled)
    types = onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, ["texts", "length"])
    model.graph.input.append(types)
    onnx.save(model, str(folder.parent / "tokens.onnx"))
    return folder


def shipped(original: Path, folder: Path, graph: str = "model.onnx", *, pooling: bool = True) -> Path:
    """Write a folder as it is shipped: the graph and configurations, without PyTorch's weights."""
    (folder / graph).parent.mkdir(parents=True)
    shutil.copy(original.parent / "tokens.onnx", folder / graph)
    for name in CONFIGURATIONS:
        shutil.copy(original / name, folder / name)
    if pooling:
        shutil.copytree(original / "1_Pooling", folder / "1_Pooling")
    return folder


def opened(folder: Path, **changes: Any) -> Any:
    return load_teacher(TeacherSettings(**{"model": str(folder), **changes}))


def assert_same_vectors(found: Any, wanted: Any) -> None:
    for role in ("query", "document"):
        ours, own = found.encode(TEXTS, role), wanted.encode(TEXTS, role)
        assert (ours * own).sum(1).min() > 0.9999
        assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx", "model_optimized.onnx", "own_name.onnx"])
def test_vectors_are_those_of_the_folder_it_was_exported_from(original: Path, tmp_path: Path, graph: str) -> None:
    teacher = opened(shipped(original, tmp_path / "t", graph))
    assert_same_vectors(teacher, opened(original))
    assert (teacher.dimension, teacher.max_length, teacher.pooling) == (32, 48, "mean")
    assert teacher.prompts == {"query": "lara: ", "document": ""}
    assert not teacher.same_for_both_roles and teacher.first is None


@pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken", "weightedmean", "mean"])
@pytest.mark.parametrize("said_by", ["folder", "recipe"])
def test_poolings(original: Path, tmp_path: Path, pooling: str, said_by: str) -> None:
    wanted = tmp_path / "wanted"
    shutil.copytree(original, wanted)
    key = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "weightedmean": "weightedmean_tokens"}
    modes = {"pooling_mode_mean_tokens": False, f"pooling_mode_{key.get(pooling, pooling)}": True}
    (wanted / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    shutil.copy(original.parent / "tokens.onnx", tmp_path / "tokens.onnx")
    folder = shipped(wanted, tmp_path / "t", pooling=said_by == "folder")
    teacher = opened(folder, pooling=pooling if said_by == "recipe" else "")
    assert teacher.pooling == pooling
    assert_same_vectors(teacher, opened(wanted))


def test_a_graph_that_pools_itself_with_weights_beside_it(original: Path, tmp_path: Path) -> None:
    teacher: Any = opened(original)
    write_teacher(teacher, tmp_path / "t")
    for name in CONFIGURATIONS:
        shutil.copy(original / name, tmp_path / "t" / name)
    path = tmp_path / "t" / "model.onnx"
    model = onnx.load(str(path))
    path.unlink()
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=256)
    found = opened(tmp_path / "t")
    assert found.pooling == "graph"
    assert_same_vectors(found, teacher)
    before, data = resolve_teacher(TeacherSettings(model=str(tmp_path / "t"))), tmp_path / "t" / "weights.bin"
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    after = resolve_teacher(TeacherSettings(model=str(tmp_path / "t")))
    assert before.sha256 != after.sha256 and before.fingerprint != after.fingerprint


def test_bytes_do_not_depend_on_the_number_of_processes(original: Path, tmp_path: Path) -> None:
    folder, texts = shipped(original, tmp_path / "t"), small_models.sentences(40)
    one, two = (
        encode_texts(TeacherSettings(model=str(folder), workers=workers, shard_texts=8), texts, NoProgress())
        for workers in (1, 2)
    )
    assert one.tobytes() == two.tobytes()


def test_vectors_that_depend_on_neighbours_are_made_one_at_a_time(original: Path, tmp_path: Path) -> None:
    folder = shipped(original, tmp_path / "t")
    quantization = pytest.importorskip("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(original.parent / "tokens.onnx"),
        str(folder / "model.onnx"),
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    teacher = opened(folder)
    alone = np.concatenate([teacher.encode([text]) for text in TEXTS])
    cosine = (teacher.encode(TEXTS) * alone).sum(1).min()
    assert cosine > (0.99999 if teacher.reading["graph"]["one_text_at_a_time"] else 0.999)


def test_truncated_vectors_and_what_counts_for_the_fingerprint(original: Path, tmp_path: Path) -> None:
    folder = shipped(original, tmp_path / "t")
    whole = opened(folder)
    assert opened(folder, max_length=16).fingerprint != whole.fingerprint != opened(folder, pooling="cls").fingerprint
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncate_dim": 12}))
    short = opened(folder)
    assert short.dimension == 12 and short.fingerprint != whole.fingerprint


def test_pooling_without_a_token() -> None:
    tokens, mask = np.ones((1, 2, 3), np.float32), np.zeros((1, 2), np.int64)
    assert np.isfinite(pool(tokens, mask, "mean")).all() and pool(tokens, mask, "lasttoken").shape == (1, 3)


def break_folder(folder: Path, fault: str) -> None:
    if fault == "inputs":
        model = onnx.load(str(folder / "model.onnx"))
        model.graph.input.append(onnx.helper.make_tensor_value_info("past_key", onnx.TensorProto.INT64, [1]))
        onnx.save(model, str(folder / "model.onnx"))
    elif fault == "graph":
        (folder / "model.onnx").write_bytes(b"no graph")
    elif fault == "pointer":
        (folder / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    elif fault == "tokenizer":
        (folder / "tokenizer.json").unlink()
    elif fault == "pooling":
        shutil.rmtree(folder / "1_Pooling")
    elif fault == "sqrt":
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_sqrt_len_tokens": true}')
    elif fault == "dense":
        modules = [{"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
        (folder / "modules.json").write_text(json.dumps(modules))
    elif fault == "several":
        for name in ("a", "b"):
            shutil.copy(folder / "model.onnx", folder / f"{name}.onnx")
        (folder / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("inputs", "asks for past_key"),
        ("graph", "does not open in onnxruntime"),
        ("pointer", "git lfs pull"),
        ("tokenizer", "has no tokenizer.json"),
        ("pooling", "set teacher.pooling"),
        ("sqrt", "asks for the pooling pooling_mode_mean_sqrt_len_tokens"),
        ("dense", "Dense of modules.json is not in it"),
        ("several", "has 2 graphs"),
    ],
)
def test_what_cannot_be_read_is_refused(original: Path, tmp_path: Path, fault: str, message: str) -> None:
    folder = shipped(original, tmp_path / "t")
    break_folder(folder, fault)
    with pytest.raises(InputError, match=message) as refused:
        opened(folder)
    assert "\n" not in str(refused.value)


def test_all_stages_with_an_onnx_folder_as_teacher(original: Path, tmp_path: Path) -> None:
    folder = shipped(original, tmp_path / "t")
    home = write_home(tmp_path / "home", f"model = {json.dumps(str(folder))}\n")
    results = run_recipe(read_recipe(home / "r.toml"), home / "run")
    assert list(results) == [stage.name for stage in STAGES]
    documents = [json.loads(line)["text"] for line in (home / "data" / "corpus.jsonl").read_text().splitlines()]
    found = np.load(results["teacher"].folder / "documents.npy")
    assert (found * opened(original).encode(documents)).sum(1).min() > 0.9999
    assert json.loads((results["teacher"].folder / "teacher.json").read_text())["pooling"] == "mean"
    for override, message in (
        ("evaluate.baselines=['model2vec']", "is an ONNX folder"),
        ("student.initialise=teacher", "takes the weights of the teacher"),
        ("teacher.precision=bf16", "not ours to choose"),
    ):
        with pytest.raises(InputError, match=message):
            list(check_recipe(read_recipe(home / "r.toml", [override]), home / "out"))
