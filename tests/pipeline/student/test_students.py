"""Students beside the plain transformer: static tables, and token tables of low rank."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import small_models, small_student
from pocketrank.export.bundle.assemble import Candidate, assemble_candidate, opener_files
from pocketrank.export.bundle.sentence_transformers_folder import write_torch_folder
from pocketrank.export.graph.schemes import FP32, make_plan
from pocketrank.export.graph.weights import (
    PROJECTION,
    TABLE,
    TABLE_FACTOR,
    TOKEN_WEIGHTS,
    TransformerWeights,
    fold_token_weights,
    read_weights,
)
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.sensitivity import measure_sensitivity
from pocketrank.export.size.explain import explain_graph
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.distill.validation import encode_rows
from pocketrank.pipeline.packaging.optimum_engine import optimum_graphs
from pocketrank.pipeline.queries.tokenized_texts import tokenize
from pocketrank.pipeline.settings import DistillSettings, QuantizeSettings, Recipe, StudentSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.initialization import fill_table, random_weights
from pocketrank.pipeline.student.model import FlatParameters, Student, load_student, save_student, shape_of
from pocketrank.pipeline.student.static_initialization import OPENING_WEIGHT, static_weights
from pocketrank.pipeline.vocabulary.token_mapping import token_texts
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

TEXTS = ["merge two sorted lists", "open a network connection", "hello world " * 40, "x", ""]
KINDS = {
    "static": StudentSettings(kind="static", hidden=24, max_length=32),
    "narrow static": StudentSettings(kind="static", hidden=8, max_length=32),
    "low rank": StudentSettings(layers=1, hidden=32, heads=2, intermediate=64, table_rank=8, max_length=32),
}
CLS, SEP = 2, 3


def made(settings: StudentSettings, folder: Path, vocabulary: int = 200, dimension: int = 24) -> Student:
    """Return a student with random tensors, saved in `folder`."""
    shape = shape_of(settings, vocabulary, dimension)
    parameters = FlatParameters(shape)
    student = Student(parameters, torch.zeros(parameters.length))
    generator = torch.Generator().manual_seed(4)
    random_weights(student.tensors, 1)
    for tensor in student.tensors.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    if shape.static:
        weights = student.tensors[TOKEN_WEIGHTS]
        weights[:] = torch.rand(len(weights), generator=generator) + 0.1
        weights[[0, SEP]], weights[CLS] = 0.0, OPENING_WEIGHT
    save_student(folder, shape, student.tensors)
    return student


def tokenizer() -> bytes:
    return small_student.small_tokenizer().to_str().encode()


def student_vectors(student: Student, ids: list[list[int]]) -> np.ndarray:
    with torch.no_grad():
        rows = [student.encode(torch.tensor([row]), torch.tensor([len(row)]))[0].numpy() for row in ids]
    return np.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_bundle_and_pytorch_folder_give_the_vectors_of_the_student(kind: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    student = made(KINDS[kind], tmp_path / "trained")
    assert all(torch.equal(load_student(tmp_path / "trained").tensors[name], value)
               for name, value in student.tensors.items())  # fmt: skip
    weights = fold_token_weights(read_weights(tmp_path / "trained"))
    assert weights.longest == 32 and weights.dimension == 24
    bundle = tmp_path / "bundle"
    assemble_candidate(bundle, Candidate(weights, make_plan("int4", "int7"), tokenizer(), 32), TEXTS[:3])
    exact, shipped = Encoder.open(bundle, "model"), Encoder.open(bundle)
    expected = student_vectors(student, [exact.tokenize(text) for text in TEXTS])
    assert np.abs(np.linalg.norm(expected, axis=1) - 1).max() < 1e-5  # the empty text too
    assert np.abs(exact.encode(TEXTS) - expected).max() < 1e-5
    assert np.abs(exact.encode(TEXTS, batch_tokens=500) - expected).max() < 1e-5
    assert (shipped.encode(TEXTS) * expected).sum(1).min() > 0.97
    write_torch_folder(tmp_path / "torch", weights, tokenizer(), opener_files(weights, tokenizer(), 32))
    opened = SentenceTransformer(str(tmp_path / "torch"), device="cpu", trust_remote_code=False)
    words = TEXTS[:-1] if weights.static else TEXTS  # StaticEmbedding gives a text without words no direction
    assert np.abs(opened.encode(words) - expected[: len(words)]).max() < 1e-5


@pytest.mark.parametrize("scheme", ["fp32", "int4"])
def test_whoever_takes_the_plain_mean_of_a_static_file_gets_the_same_vector(tmp_path: Path, scheme: Any) -> None:
    import onnxruntime

    made(KINDS["narrow static"], tmp_path)
    weights = fold_token_weights(read_weights(tmp_path))
    assert TOKEN_WEIGHTS not in weights.tensors
    session = onnxruntime.InferenceSession(write_graph(weights, make_plan(scheme, scheme)))
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]
    ids, mask = np.array([[2, 9, 50, 60, 3], [2, 77, 3, 0, 0]]), np.array([[1] * 5, [1, 1, 1, 0, 0]])
    tokens, vectors = map(np.asarray, session.run(None, {"input_ids": ids, "attention_mask": mask}))
    means = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    assert np.abs(means / np.linalg.norm(means, axis=1, keepdims=True) - vectors).max() < 1e-5


def test_folding_needs_no_second_copy_of_the_table_and_costs_no_byte(tmp_path: Path) -> None:
    made(KINDS["static"], tmp_path)
    weights = read_weights(tmp_path)
    with_weights, folded = write_graph(weights), write_graph(fold_token_weights(weights))
    assert len(folded) < len(with_weights) - 4 * 200
    explained = explain_graph(write_graph(fold_token_weights(weights), make_plan("int4", "int7")))
    assert {tensor.name for tensor in explained.tensors if tensor.per_token} == {"table", "table.scale"}
    assert explained.table > 0.7 * explained.total


def test_both_factors_are_stored_in_the_scheme_of_their_kind(tmp_path: Path) -> None:
    made(dataclasses.replace(KINDS["low rank"], table_rank=16), tmp_path, vocabulary=2000)
    weights = read_weights(tmp_path)
    assert weights.tensors[TABLE].shape == (2000, 16) and weights.tensors[TABLE_FACTOR].shape == (32, 16)
    explained = {
        tensor.name: tensor for tensor in explain_graph(write_graph(weights, make_plan("int4", "int7"))).tensors
    }
    assert explained["table"].values == 2000 * 16 // 2 and explained["table"].per_token
    assert explained["table_factor"].values == 32 * 16 and not explained["table_factor"].per_token
    found = measure_sensitivity(weights, [[2, 9, 30, 3], [2, 80, 3]], NoProgress())
    assert {row.tensor for row in found.tensors} >= {"table", "table_factor"}


def test_a_static_table_is_measured_without_any_linear_layer(tmp_path: Path) -> None:
    made(KINDS["static"], tmp_path)
    found = measure_sensitivity(fold_token_weights(read_weights(tmp_path)), [[2, 9, 30, 3], [2, 80, 3]], NoProgress())
    assert {row.tensor for row in found.tensors} == {"table"}


def test_the_best_product_of_two_factors_starts_a_table_of_low_rank() -> None:
    parameters = FlatParameters(shape_of(KINDS["low rank"], 200, 24))
    tensors = Student(parameters, torch.zeros(parameters.length)).tensors
    random = np.random.default_rng(0)
    vectors = (random.standard_normal((200, 8)) @ random.standard_normal((8, 32))).astype(np.float32)
    vectors += 0.01 * random.standard_normal((200, 32)).astype(np.float32)
    fill_table(tensors, vectors)
    product = (tensors[TABLE] @ tensors[TABLE_FACTOR].T).numpy()
    assert np.abs(product[1:] - vectors[1:]).max() < 0.06 and not tensors[TABLE][0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_autograd_on_whole_tensors(kind: str, tmp_path: Path) -> None:
    student = made(KINDS[kind], tmp_path)
    parameters = FlatParameters(student.shape)
    flat, gradient = torch.zeros(parameters.length), torch.zeros(parameters.length)
    for name, view in parameters.views(flat).items():
        view.copy_(student.tensors[name])
    trained = Student(parameters, flat, gradient)
    ids, lengths = torch.tensor([[2, 7, 7, 3], [2, 9, 3, 0]]), torch.tensor([4, 3])
    wanted = torch.nn.functional.normalize(torch.randn(2, 24, generator=torch.Generator().manual_seed(3)), dim=1)
    (trained.encode(ids, lengths) * wanted).sum().backward()
    trained.add_table_gradient()
    plain = Student(parameters, flat.clone().requires_grad_())
    for tensor in plain.tensors.values():
        tensor.retain_grad()
    (plain.encode(ids, lengths) * wanted).sum().backward()
    for name, view in parameters.views(gradient).items():
        expected = plain.tensors[name].grad
        assert expected is not None and torch.allclose(view, expected, atol=1e-6), name
    if student.shape.static:
        weights = parameters.views(gradient)[TOKEN_WEIGHTS]
        assert weights[[7, 9]].abs().min() > 0 and not weights[[0, CLS, SEP]].any()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder, documents=60, training=400)
    small_models.make_vectors(folder)
    return folder


def trained(inputs: Path, folder: Path, student: StudentSettings, **changes: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {"steps": 60, "batch_texts": 12, "warmup_steps": 5, "learning_rate": 5e-3, "workers": 1}
    recipe = Recipe("test", student=student, distill=DistillSettings(**settings | changes),
                    quantize=QuantizeSettings(table="int4"))  # fmt: skip
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {name: inputs / name for name in ("corpus", "queries", "vocabulary", "teacher")}
    run_distill(StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress()))
    return json.loads((folder / "output" / "log.json").read_text())["points"]


@pytest.mark.parametrize(
    ("student", "rate"),
    [
        (StudentSettings(kind="static", hidden=16, max_length=24, initialise="random"), 3e-2),
        (StudentSettings(kind="static", hidden=12, max_length=24, initialise="random"), 3e-2),
        (dataclasses.replace(KINDS["low rank"], initialise="random", table_rank=16), 5e-3),
    ],
)
def test_every_kind_learns_and_resumes_to_the_same_bytes(
    inputs: Path, tmp_path: Path, student: StudentSettings, rate: float
) -> None:
    points = trained(inputs, tmp_path / "one", student, learning_rate=rate)
    checked = [point["validation_cosine"] for point in points if "validation_cosine" in point]
    assert checked[-1] > max(checked[0] + 0.1, 0.5)
    again = trained(inputs, tmp_path / "two", student, learning_rate=rate, workers=2, checkpoint_seconds=0)
    assert again == points
    name = "output/student/model.safetensors"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_rounded_training_of_a_static_table_writes_the_codes_that_it_saw(inputs: Path, tmp_path: Path) -> None:
    student = StudentSettings(kind="static", hidden=16, max_length=24, initialise="random")
    trained(inputs, tmp_path, student, quantize_aware_steps=10)
    weights = fold_token_weights(read_weights(tmp_path / "output" / "student"))
    bundle = tmp_path / "bundle"
    vocabulary = (inputs / "vocabulary" / "tokenizer.json").read_bytes()
    assemble_candidate(bundle, Candidate(weights, make_plan("int4", "int7"), vocabulary, 24), TEXTS[:3])
    texts = small_models.sentences(20)
    exact, shipped = Encoder.open(bundle, "model").encode(texts), Encoder.open(bundle).encode(texts)
    assert (exact * shipped).sum(1).min() > 0.999999


def test_the_first_static_weights_follow_frequency_and_the_teacher(inputs: Path) -> None:
    texts = tokenize(inputs / "queries" / "training.jsonl", inputs / "vocabulary" / "tokenizer.json", 24)
    targets = np.load(inputs / "teacher" / "training.npy")
    tokens = json.loads((inputs / "vocabulary" / "tokenizer.json").read_text())["model"]["vocab"]
    shape = shape_of(StudentSettings(kind="static", hidden=16, max_length=24), len(tokens), 16)
    parameters = FlatParameters(shape)
    student = Student(parameters, torch.zeros(parameters.length))
    rows = np.arange(len(texts))
    # What each word means, turned into another basis: the map back has to be found.
    turned = np.random.default_rng(1).standard_normal((16, 16)).astype(np.float32)
    source = np.random.default_rng(9)
    of_word = {word: source.standard_normal(16) for word in small_models.WORDS}
    vectors = np.array([of_word.get(token, np.zeros(16)) for token in tokens], np.float32) @ turned
    static_weights(student.tensors, vectors, texts, targets, rows)
    weights = student.tensors[TOKEN_WEIGHTS]
    counts = np.bincount(texts.ids, minlength=len(tokens))
    known = [identifier for token, identifier in tokens.items() if token in of_word]
    assert np.corrcoef(counts[known], weights[known])[0, 1] < -0.9
    assert weights[CLS] == OPENING_WEIGHT and not weights[[0, SEP]].any()
    assert float((encode_rows(student, texts, rows) * targets).sum(1).mean()) > 0.9


def test_tokens_are_read_without_their_marks() -> None:
    assert token_texts(["[PAD]", "open", "##ing", "\u2581open", "##"]) == ["", "open", "ing", "open", "##"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (StudentSettings(kind="static", hidden=32), "wider than the vectors of a static student"),
        (StudentSettings(kind="static", hidden=16, table_rank=4), "is for transformers"),
        (StudentSettings(hidden=32, heads=2, table_rank=32), "must be below student.hidden = 32"),
    ],
)
def test_impossible_shapes_are_refused(settings: StudentSettings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        shape_of(settings, 100, 24)


def test_token_weights_of_a_transformer_stay_where_they_are(tmp_path: Path) -> None:
    made(KINDS["low rank"], tmp_path)
    weights = read_weights(tmp_path)
    weighted = TransformerWeights(weights.config, {**weights.tensors, TOKEN_WEIGHTS: np.ones(200, np.float32)})
    assert fold_token_weights(weighted) is weighted
    with pytest.raises(InputError, match="learned token weights"):
        write_torch_folder(tmp_path / "torch", weighted, tokenizer(), opener_files(weights, tokenizer(), 32))
    assert PROJECTION in weights.tensors and write_graph(weighted, FP32) != write_graph(weights, FP32)


def test_the_other_engine_refuses_a_static_student(tmp_path: Path) -> None:
    made(KINDS["static"], tmp_path)
    with pytest.raises(InputError, match="writes transformers"):
        optimum_graphs(fold_token_weights(read_weights(tmp_path)), tokenizer(), 32, make_plan("int8", "int7"))
