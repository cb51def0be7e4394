"""The student's first weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import small_models
from pocketrank.pipeline.distill.validation import encode_rows
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts, tokenize
from pocketrank.pipeline.settings import StudentSettings, TeacherSettings
from pocketrank.pipeline.student.initialization import fit_projection, teacher_source, transfer_weights
from pocketrank.pipeline.student.layer_transfer import compose_embeddings
from pocketrank.pipeline.student.model import TABLE, FlatParameters, Student, shape_of
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.vocabulary.tokenizer_file import read_tokens


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    folder = small_models.make_teacher(tmp_path_factory.mktemp("teacher") / "small-teacher")
    return load_teacher(TeacherSettings(model=str(folder))).first


def make_student(tokens: int, **changes: int) -> Student:
    values = {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 64, "max_length": 24}
    parameters = FlatParameters(shape_of(StudentSettings(**values | changes), tokens, 16))
    return Student(parameters, torch.zeros(parameters.length))


@pytest.fixture(scope="module")
def texts(teacher: BiEncoder) -> TokenizedTexts:
    encoded = [teacher.model.tokenizer(text)["input_ids"] for text in small_models.sentences(60)]
    starts = np.cumsum([0, *map(len, encoded)])
    return TokenizedTexts(np.concatenate(encoded).astype(np.int32), starts, np.zeros(len(encoded), bool))


def start(student: Student, teacher: BiEncoder, tokens: list[str], texts: TokenizedTexts) -> None:
    transfer_weights(student, teacher_source(teacher), tokens=tokens, seed=1, texts=texts, rows=np.arange(len(texts)))


def test_tokens_get_the_vectors_of_what_spells_them(teacher: BiEncoder) -> None:
    table = teacher.token_table()
    known = teacher.model.tokenizer.get_vocab()
    word = next(token for token in known if token in small_models.WORDS)
    continued = next(token for token in known if token.startswith("##") and len(token) == 3)
    new = f"{word}{continued[2:]}x"
    source = teacher_source(teacher)
    tokens = ["[PAD]", word, continued, new, f"##{new}", "\u2581" + word]
    vectors = compose_embeddings(source.table, source.tokenizer, tokens)
    assert np.array_equal(vectors[1], table[known[word]])
    assert np.array_equal(vectors[2], table[known[continued]])
    spelled = teacher.model.tokenizer.convert_tokens_to_ids(teacher.model.tokenizer.tokenize(new))
    characters = np.array([len(token.removeprefix("##")) for token in teacher.model.tokenizer.tokenize(new)])
    assert len(set(characters)) > 1  # or the weights would not show
    expected = (table[spelled] * characters[:, None] ** 2).sum(0) / (characters**2).sum()
    assert new not in known and np.allclose(vectors[3], expected, atol=1e-6)
    assert np.array_equal(vectors[5], table[known[word]])
    assert np.isfinite(vectors).all()


def test_a_narrow_student_keeps_the_order_of_similarities(teacher: BiEncoder, texts: TokenizedTexts) -> None:
    tokens = sorted(teacher.model.tokenizer.get_vocab(), key=teacher.model.tokenizer.get_vocab().__getitem__)
    student = make_student(len(tokens), hidden=24, intermediate=80)  # more units than the teacher: no layers
    start(student, teacher, tokens, texts)
    table = student.tensors[TABLE][5:].numpy()
    original = teacher.token_table()[5:]
    original = original - teacher.token_table().mean(0)
    agreement = np.corrcoef((table @ table.T).ravel(), (original @ original.T).ravel())[0, 1]
    assert agreement > 0.95
    assert not student.tensors[TABLE][0].any()


def test_a_student_of_the_teachers_shape_is_the_teacher(teacher: BiEncoder, texts: TokenizedTexts) -> None:
    vocabulary = teacher.model.tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    student = make_student(len(tokens))
    start(student, teacher, tokens, texts)
    sentences = small_models.sentences(5)
    expected = teacher.encode(sentences)
    for text, vector in zip(sentences, expected, strict=True):
        ids = torch.tensor([teacher.model.tokenizer(text)["input_ids"]])
        pooled = student.pooled(ids, torch.tensor([ids.shape[1]]))[0]
        assert np.allclose((pooled / pooled.norm()).numpy(), vector, atol=1e-4)


def test_a_narrower_student_of_the_teacher_is_near_it_without_training(
    teacher: BiEncoder, texts: TokenizedTexts
) -> None:
    vocabulary = teacher.model.tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    targets = teacher.encode(small_models.sentences(60))
    rows, found = np.arange(len(texts)), {}
    for intermediate in (48, 80):  # with layers, without
        narrow = FlatParameters(
            shape_of(StudentSettings("transformer", 2, 24, 2, intermediate, 0, 24), len(tokens), 32)
        )
        student = Student(narrow, torch.zeros(narrow.length))
        start(student, teacher, tokens, texts)
        fit_projection(student, texts, targets, rows[:40])
        found[intermediate] = float((encode_rows(student, texts, rows[40:]) * targets[40:]).sum(1).mean())
    assert found[48] > found[80]


def test_fewer_layers_come_from_bottom_and_top(teacher: BiEncoder, texts: TokenizedTexts) -> None:
    vocabulary = teacher.model.tokenizer.get_vocab()
    student = make_student(len(vocabulary), layers=1)
    start(student, teacher, list(vocabulary), texts)
    theirs = teacher.bert_tensors()
    name = "encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(student.tensors[name], theirs[name])


def test_the_projection_starts_as_the_best_linear_map(tmp_path: Path) -> None:
    small_models.make_texts(tmp_path, training=400)
    small_models.make_vectors(tmp_path)
    tokens = read_tokens(tmp_path / "vocabulary" / "tokenizer.json")
    assert tokens[:4] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    texts = tokenize(tmp_path / "queries" / "training.jsonl", tmp_path / "vocabulary" / "tokenizer.json", 24)
    targets = np.load(tmp_path / "teacher" / "training.npy")
    student = make_student(len(tokens))
    from pocketrank.pipeline.student.initialization import random_weights

    random_weights(student.tensors, 1)
    rows = np.arange(len(texts))
    before = float((encode_rows(student, texts, rows) * targets).sum(1).mean())
    fit_projection(student, texts, targets, rows)
    after = float((encode_rows(student, texts, rows) * targets).sum(1).mean())
    assert after > before + 0.3
