"""Folders of sentence-transformers of several kinds: vectors are those of the library's own two ways to encode."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from pocketrank.benchmarks.measure.model_files import facts_of
from pocketrank.benchmarks.measure.session import ModelFiles
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.student.initialization import teacher_source
from pocketrank.pipeline.teacher import compared_graph, onnx_graph
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.prompts import chosen_prompts
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

pytest.importorskip("sentence_transformers")
from experiments.teachers.kinds import accepted

TEXTS = ["hello world", "merge two sorted lists", "open a network connection " * 8, "e"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teacher").mkdir()
    return small_models.make_teacher(tmp_path / "teacher")


def opened(folder: Path) -> Any:
    """The folder as sentence-transformers itself opens it, in float32."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu").float()


def check_against_library(folder: Path) -> None:
    """Hold our vectors of both roles against `encode_query` and `encode_document`."""
    teacher, library = load_teacher(TeacherSettings(model=str(folder))), opened(folder)
    for ours, own in (
        (teacher.encode(TEXTS, "query"), library.encode_query(TEXTS, normalize_embeddings=True)),
        (teacher.encode(TEXTS, "document"), library.encode_document(TEXTS, normalize_embeddings=True)),
    ):
        assert ours.shape == own.shape
        assert (ours * own).sum(1).min() > 0.9999


def change(path: Path, **values: Any) -> None:
    mapping = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(mapping | values))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_stored_in_half_precision_are_computed_in_float32(folder, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    halves = {name: tensor.to(getattr(torch, dtype)) for name, tensor in load_file(weights).items()}
    save_file(halves, weights, {"format": "pt"})
    change(folder / "config.json", dtype=dtype, torch_dtype=dtype)
    check_against_library(folder)
    model: Any = load_teacher(TeacherSettings(model=str(folder))).first.model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken", "weightedmean"])
def test_poolings(folder, pooling):
    change(
        folder / "1_Pooling" / "config.json",
        pooling_mode_mean_tokens=False,
        pooling_mode_cls_token=pooling == "cls",
        pooling_mode_max_tokens=pooling == "max",
        pooling_mode_lasttoken=pooling == "lasttoken",
        pooling_mode_weightedmean_tokens=pooling == "weightedmean",
    )
    check_against_library(folder)


def test_truncated_matryoshka_vectors(folder):
    change(folder / "config_sentence_transformers.json", truncate_dim=12)
    check_against_library(folder)
    assert load_teacher(TeacherSettings(model=str(folder))).dimension == 12


def test_a_router_sends_queries_and_documents_their_own_way(folder, tmp_path):
    torch = pytest.importorskip("torch")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    modules = pytest.importorskip("sentence_transformers.models")
    torch.manual_seed(2)
    routes = {
        "query_modules": [modules.Dense(32, 16)],
        "document_modules": [modules.Dense(32, 16)],
    }
    parts = [*opened(folder).children()][:2]
    router = modules.Router.for_query_document(**routes)
    sentence_transformers.SentenceTransformer(modules=[*parts, router], device="cpu").save(str(tmp_path / "routed"))
    check_against_library(tmp_path / "routed")
    teacher = load_teacher(TeacherSettings(model=str(tmp_path / "routed")))
    assert not teacher.same_for_both_roles  # so a query never takes the vector of an equal document
    assert np.abs(teacher.encode(TEXTS, "query") - teacher.encode(TEXTS, "document")).max() > 0.1


def test_a_teacher_without_a_graph_is_a_note_and_not_the_end(tmp_path, monkeypatch):
    def failing(*_: object) -> None:
        raise failure

    monkeypatch.setattr(compared_graph, "_write", failing)

    class Context:
        progress = NoProgress()

    context: Any = Context()
    for failure in (RuntimeError("no operator\nfor this"), InputError("no fast tokenizer"), IndexError()):
        reason = compared_graph.write_compared_teacher(context, tmp_path / "teacher")
        assert reason == (" ".join(str(failure).split()) or "IndexError")
    failure = OSError(28, "no space left")
    with pytest.raises(OSError):
        compared_graph.write_compared_teacher(context, tmp_path / "teacher")


def test_a_static_table_is_a_teacher_with_a_graph(tmp_path):
    pytest.importorskip("sentence_transformers")
    by_name = {kind.name: kind for kind in accepted.ACCEPTED}
    for name in ("StaticEmbedding, none, float32", "model2vec, none, float32, a folder of model2vec"):
        folder = tmp_path / name[:6]
        by_name[name].write(folder)
        check_against_library(folder)
        teacher = load_teacher(TeacherSettings(model=str(folder))).first
        assert teacher.max_length == 0 and teacher.bert_tensors() == {}
        source = teacher_source(teacher)
        assert source is not None and source.table.shape[1] == 32 and source.encoder is None
        onnx_graph.write_teacher(teacher, folder / "graph")
        graph = onnx_graph.open_teacher(teacher, folder / "graph")
        assert (graph.encode_documents(TEXTS) * teacher.encode(TEXTS)).sum(1).min() > 0.9999
        cut = load_teacher(TeacherSettings(model=str(folder), max_length=4))
        one, other = cut.encode(["bara deton goming laming kuming bara", "bara deton goming laming kuming deton"])
        assert np.abs(one - other).max() < 1e-6 < np.abs(one - cut.encode(["deton goming"])[0]).max()


def test_a_teacher_that_starts_with_routes_has_no_table_to_start_from(tmp_path):
    (kind,) = [kind for kind in accepted.ACCEPTED if kind.source == "Router first"]
    kind.write(tmp_path / "teacher")
    check_against_library(tmp_path / "teacher")
    teacher = load_teacher(TeacherSettings(model=str(tmp_path / "teacher"))).first
    assert teacher_source(teacher) is None
    onnx_graph.write_teacher(teacher, tmp_path / "graph")  # that of the queries
    graph = onnx_graph.open_teacher(teacher, tmp_path / "graph")
    assert (graph.encode_queries(TEXTS) * teacher.encode(TEXTS, "query")).sum(1).min() > 0.9999


def test_large_weights_lie_beside_the_graph(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "_LARGEST_FILE", 10_000)  # instead of 2 GB
    teacher = load_teacher(TeacherSettings(model=str(folder))).first
    assert onnx_graph.write_teacher(teacher, tmp_path / "graph") == "torch.onnx"  # ours writes one file
    model, beside = tmp_path / "graph" / "model.onnx", tmp_path / "graph" / "model.onnx.data"
    assert beside.stat().st_size > 10_000
    graph = onnx_graph.open_teacher(teacher, tmp_path / "graph")
    assert (graph.encode_documents(TEXTS) * teacher.encode(TEXTS)).sum(1).min() > 0.9999
    facts = facts_of(ModelFiles("teacher", model, tmp_path / "graph" / "tokenizer.json"), "reference")
    assert facts.model_bytes == model.stat().st_size + beside.stat().st_size


@pytest.mark.parametrize(
    ("own", "settings", "query", "document"),
    [
        ({"query": "q: ", "passage": "p: "}, {}, "q: ", "p: "),
        ({"query": "q: ", "document": "", "corpus": "c: "}, {}, "q: ", "c: "),
        ({"search": "s: "}, {}, "", ""),
        ({"search": "s: "}, {"query_prompt": "search"}, "s: ", ""),
        ({"query": "q: "}, {"query_prompt": "find: ", "document_prompt": "d: "}, "find: ", "d: "),
    ],
)
def test_prompts_by_any_name(own, settings, query, document):
    chosen, words = chosen_prompts(TeacherSettings(model="any", **settings), own)
    assert chosen == {"query": query, "document": document}
    assert all(repr(text) in words for text in (query, document) if text)
    assert ("queries none" in words) == (not query) and ("documents none" in words) == (not document)
    assert all(
        name in words.partition("not used: ")[2] for name, text in own.items() if text not in ("", query, document)
    )


def test_a_prompt_changes_the_fingerprint(folder):
    first, second = (TeacherSettings(model=str(folder), query_prompt=prompt) for prompt in ("", "find: "))
    assert load_teacher(first).fingerprint != load_teacher(second).fingerprint
