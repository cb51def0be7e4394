"""Folders of sentence-transformers of several kinds: vectors are those of the library's own two ways to encode."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.teacher import compared_graph
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

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
