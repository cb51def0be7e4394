"""A student that starts from a general one: what carries over, exactly or nearly, and what is refused."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import small_models
from pocketrank.export.graph.schemes import make_plan
from pocketrank.export.graph.weights import POSITIONS, TOKEN_TYPES
from pocketrank.export.quantization.rounding import rounding
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.fingerprint import distill_fingerprint
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts, tokenize
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.initialization import random_weights, transfer_weights
from pocketrank.pipeline.student.model import TABLE, FlatParameters, Student, StudentShape, load_student, save_student
from pocketrank.pipeline.student.pretrained import general_folder, read_general
from pocketrank.pipeline.vocabulary.tokenizer_file import read_tokens
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

SHAPE = StudentShape(0, layers=3, hidden=32, heads=4, intermediate=64, positions=40, dimension=16)


def make_student(shape: StudentShape) -> Student:
    parameters = FlatParameters(shape)
    return Student(parameters, torch.zeros(parameters.length))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A general student whose every tensor matters."""
    folder = tmp_path_factory.mktemp("general") / "student"
    small_models.make_tokenizer(folder / "tokenizer.json", size=150)
    student = make_student(dataclasses.replace(SHAPE, vocabulary=len(read_tokens(folder / "tokenizer.json"))))
    random_weights(student.tensors, 3)
    generator = torch.Generator().manual_seed(4)
    for tensor in student.tensors.values():
        tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.2)
    student.tensors[TABLE][0].zero_()
    save_student(folder, student.shape, student.tensors)
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages before have made, with a vocabulary that the general student does not have."""
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder, documents=60, training=300)
    small_models.make_vectors(folder)
    small_models.make_tokenizer(folder / "vocabulary" / "tokenizer.json", size=190)
    return folder


@pytest.fixture(scope="module")
def texts(inputs: Path) -> TokenizedTexts:
    return tokenize(inputs / "queries" / "training.jsonl", inputs / "vocabulary" / "tokenizer.json", 24)


def started(folder: Path, tokens: list[str], texts: TokenizedTexts, **changes: int) -> Student:
    student = make_student(dataclasses.replace(SHAPE, vocabulary=len(tokens), **changes))
    transfer_weights(student, read_general(folder), tokens=tokens, seed=1, texts=texts, rows=np.arange(len(texts)))
    return student


def batch(size: int, longest: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(3, longest + 1, (8,), generator=generator)
    ids = torch.randint(1, size, (8, longest), generator=generator)
    return ids * (torch.arange(longest)[None, :] < lengths[:, None]), lengths


def test_the_same_vocabulary_and_shape_give_the_same_vectors(folder: Path, texts: TokenizedTexts) -> None:
    tokens = read_tokens(folder / "tokenizer.json")
    student, general = started(folder, tokens, texts), load_student(folder)
    assert torch.equal(student.pooled(*batch(len(tokens))), general.pooled(*batch(len(tokens))))


def test_shared_tokens_keep_their_rows_byte_for_byte(folder: Path, inputs: Path, texts: TokenizedTexts) -> None:
    old, new = (read_tokens(place / "tokenizer.json") for place in (folder, inputs / "vocabulary"))
    before, after = load_student(folder).tensors[TABLE], started(folder, new, texts).tensors[TABLE]
    shared = [token for token in new if token in old and token != "[PAD]"]
    assert 100 < len(shared) < len(new)
    for token in shared:
        assert before[old.index(token)].numpy().tobytes() == after[new.index(token)].numpy().tobytes()
    composed = [token for token in new if token not in old]
    assert all(after[new.index(token)].abs().sum() > 0 for token in composed)


def test_fewer_layers_come_from_bottom_and_top_and_positions_are_cut(folder: Path, texts: TokenizedTexts) -> None:
    tokens, general = read_tokens(folder / "tokenizer.json"), load_student(folder).tensors
    student = started(folder, tokens, texts, layers=2, positions=24).tensors
    name = "encoder.layer.{}.output.dense.weight"
    assert torch.equal(student[name.format(0)], general[name.format(0)])
    assert torch.equal(student[name.format(1)], general[name.format(2)])
    positions = "embeddings.position_embeddings.weight"
    assert torch.equal(student[positions], general[positions][:24])


def test_more_positions_and_layers_than_the_general_student_has(folder: Path, texts: TokenizedTexts) -> None:
    tokens, general = read_tokens(folder / "tokenizer.json"), load_student(folder).tensors
    student = started(folder, tokens, texts, layers=4, positions=50).tensors
    positions = "embeddings.position_embeddings.weight"
    assert torch.equal(student[positions][:40], general[positions])
    assert torch.equal(student[positions][49], general[positions][39])
    kept, further = (student[f"encoder.layer.{layer}.output.dense.weight"] for layer in (2, 3))
    assert torch.equal(kept, general["encoder.layer.2.output.dense.weight"])
    assert 0.01 < float(further.std()) < 0.03  # as at random


def best_map_error(student: Student, wanted: torch.Tensor, texts: TokenizedTexts) -> float:
    """Return the share of `wanted` [texts, any] that no linear map from the student's outputs explains."""
    ids, lengths = map(torch.from_numpy, texts.padded(np.arange(len(texts))))
    found = student.pooled(ids, lengths).double()
    found, wanted = found - found.mean(0), wanted.double() - wanted.double().mean(0)
    solved = torch.linalg.lstsq(found, wanted).solution
    return float((wanted - found @ solved).square().sum() / wanted.square().sum())


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 24, "heads": 3, "intermediate": 48},
        {"hidden": 16, "heads": 4, "intermediate": 64},  # smaller heads
        {"hidden": 24, "heads": 2, "intermediate": 32},  # larger heads
        {"intermediate": 40},
    ],
)
def test_a_narrower_student_keeps_most_of_the_function(
    folder: Path, inputs: Path, texts: TokenizedTexts, changes: dict[str, int]
) -> None:
    tokens = read_tokens(inputs / "vocabulary" / "tokenizer.json")
    ids, lengths = map(torch.from_numpy, texts.padded(np.arange(len(texts))))
    wanted = started(folder, tokens, texts).pooled(ids, lengths)
    narrow = started(folder, tokens, texts, **changes)
    without_layers = make_student(narrow.shape)
    random_weights(without_layers.tensors, 1)
    without_layers.tensors[TABLE].copy_(narrow.tensors[TABLE])
    error = best_map_error(narrow, wanted, texts)
    assert error < 0.85 * best_map_error(without_layers, wanted, texts)
    for tensor in narrow.tensors.values():
        assert torch.isfinite(tensor).all()


def test_a_wider_student_takes_the_token_vectors_alone(folder: Path, texts: TokenizedTexts) -> None:
    tokens, general = read_tokens(folder / "tokenizer.json"), load_student(folder).tensors
    student = started(folder, tokens, texts, hidden=48).tensors
    ours, theirs = student[TABLE][5:], general[TABLE][5:] - general[TABLE].mean(0)
    agreement = np.corrcoef((ours @ ours.T).numpy().ravel(), (theirs @ theirs.T).numpy().ravel())[0, 1]
    assert agreement > 0.99


def distill(folder: Path, inputs: Path, out: Path, **changes: int) -> bytes:
    settings = StudentSettings(
        layers=2, hidden=24, heads=3, intermediate=32, max_length=24, initialise="general", general=str(folder)
    )
    recipe = Recipe("test", student=settings, distill=DistillSettings(steps=4, batch_texts=8, workers=1))
    places = {name: inputs / name for name in ("corpus", "queries", "vocabulary", "teacher")}
    for name in ("output", "work"):
        (out / name).mkdir(parents=True)
    run_distill(StageContext(recipe, {}, places, out / "output", out / "work", NoProgress()))
    return (out / "output" / "student" / "model.safetensors").read_bytes()


def test_the_stage_gives_the_same_bytes_again(folder: Path, inputs: Path, tmp_path: Path) -> None:
    assert distill(folder, inputs, tmp_path / "one") == distill(folder, inputs, tmp_path / "two")


def test_the_stage_key_depends_on_the_bytes_of_the_general_student(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    recipe = Recipe("r", student=StudentSettings(initialise="general", general=str(copy)))
    before = distill_fingerprint(recipe)
    assert before == distill_fingerprint(
        Recipe("r", student=StudentSettings(initialise="general", general=str(folder)))
    )
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert distill_fingerprint(recipe) != before
    other = Recipe("r", student=StudentSettings(initialise="teacher", general=str(copy)))
    assert set(distill_fingerprint(other)) < set(before)


def test_a_run_stands_for_its_student(folder: Path) -> None:
    assert general_folder(StudentSettings(general=str(folder.parent))) == folder


def test_a_bundle_starts_a_student_with_the_weights_that_it_stores(tiny_bundle: Path, tiny_run: Path) -> None:
    assert general_folder(StudentSettings(general=str(tiny_bundle))) == tiny_bundle
    stored, trained = read_general(tiny_bundle), read_general(tiny_run / "student")
    plan = make_plan("int8", "int7")
    for name, tensor in trained.encoder.tensors.items():
        if name in (POSITIONS, TOKEN_TYPES):  # stored as their sum
            continue
        expected = rounding(name, plan, trained.encoder.shape.layers)(tensor.numpy())
        np.testing.assert_allclose(stored.encoder.tensors[name].numpy(), expected, atol=1e-6)
    assert stored.encoder.shape == trained.encoder.shape


def test_a_missing_folder_or_file_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*is no folder; name"):
        general_folder(StudentSettings(general=str(tmp_path / "nowhere")))
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        copy = Path(shutil.copytree(folder, tmp_path / f"without {name}"))
        (copy / name).unlink()
        with pytest.raises(InputError, match=rf"{name} does not exist.*student\.general"):
            general_folder(StudentSettings(general=str(copy)))


def test_broken_files_are_named(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "cut"))
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut/model\.safetensors: not a readable safetensors file"):
        read_general(copy)
    copy = Path(shutil.copytree(folder, tmp_path / "text"))
    (copy / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"text/tokenizer\.json is no working tokenizer.*copy the one"):
        read_general(copy)
    copy = Path(shutil.copytree(folder, tmp_path / "other"))
    small_models.make_tokenizer(copy / "tokenizer.json", size=200)
    with pytest.raises(InputError, match=r"tokenizer\.json has ids up to \d+, .* rows; take both from the same run"):
        read_general(copy)
