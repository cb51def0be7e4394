"""Long documents in training: windows that teacher and student read whole, and how much of the documents is read."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import small_models
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.passages.output import PassagesOutput
from pocketrank.pipeline.passages.stage import StudentReading, run_passages
from pocketrank.pipeline.passages.windows import windows
from pocketrank.pipeline.settings import DistillSettings, QueriesSettings, Recipe, StudentSettings, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.runtime.progress import NoProgress

STUDENT_TOKENS = 24


def words(count: int, seed: int) -> str:
    """Return sentences of six made-up words, `count` words in all."""
    draw = random.Random(seed)
    chosen = draw.choices(small_models.WORDS, k=count)
    return " ".join(word + "." * (number % 6 == 5) for number, word in enumerate(chosen))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folders of the stages before, of a corpus with four long documents among forty."""
    folder = tmp_path_factory.mktemp("inputs")
    teacher = small_models.make_teacher(folder / "teacher-model")
    small_models.make_tokenizer(folder / "vocabulary" / "tokenizer.json", 300)
    texts = [words(300, number) if number % 10 == 3 else words(8, number) for number in range(40)]
    queries = small_models.sentences(60)
    (folder / "corpus" / "qrels").mkdir(parents=True)
    (folder / "queries").mkdir()
    write(folder / "corpus" / "corpus.jsonl", [{"_id": str(n), "title": "", "text": t} for n, t in enumerate(texts)])
    write(folder / "corpus" / "queries.jsonl", [{"_id": "q", "text": "lara"}])
    (folder / "corpus" / "qrels" / "test.tsv").write_text("q\t3\t1\n")
    training = [{"text": text, "role": "document", "kind": "document"} for text in texts]
    training += [{"text": text, "role": "query", "kind": "crop"} for text in queries]
    write(folder / "queries" / "training.jsonl", training)
    run(folder, "teacher", run_teacher, recipe(teacher))
    return folder


def write(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def recipe(teacher: Path, max_texts: int = 1000, passage_share: float = 0.25) -> Recipe:
    return Recipe(
        "test",
        queries=QueriesSettings(max_texts=max_texts),
        teacher=TeacherSettings(model=str(teacher), dimension=16, workers=1),
        student=StudentSettings(
            layers=1, hidden=24, heads=2, intermediate=32, max_length=STUDENT_TOKENS, initialise="random"
        ),
        distill=DistillSettings(
            steps=12, batch_texts=16, warmup_steps=2, workers=1, document_share=0.5, passage_share=passage_share
        ),
    )


def run(folder: Path, name: str, stage: Callable[[StageContext], None], settings: Recipe, out: str = "") -> Path:
    """Run one stage on what is in `folder`; return its output there, or in the folder `out` beside."""
    output, scratch = folder / (out or name), folder / f"{out or name}-work"
    output.mkdir()
    scratch.mkdir()
    places = {place.name: place for place in folder.iterdir() if place.is_dir()}
    stage(StageContext(settings, {}, places, output, scratch, NoProgress()))
    return output


def teacher_of(inputs: Path) -> BiEncoder:
    return load_teacher(recipe(inputs / "teacher-model").teacher).first


def test_passages_are_read_whole_and_no_word_is_missing(inputs: Path) -> None:
    output = PassagesOutput(run(inputs, "passages", run_passages, recipe(inputs / "teacher-model")))
    passages = [json.loads(line)["text"] for line in output.texts_file.read_text().splitlines()]
    teacher, student = teacher_of(inputs), tokenizer(inputs)
    for passage in passages:
        assert student.characters(passage) == len(passage)
        assert teacher.characters_read(passage, "document") == len(passage)
    documents = [json.loads(line)["text"] for line in (inputs / "corpus" / "corpus.jsonl").read_text().splitlines()]
    long = [text for text in documents if len(text.split()) == 300]
    begun = 0
    for text in long:
        own = [passage for passage in passages if passage in text]
        first = text[: text.index(own[0])]
        assert [*first.split(), *" ".join(own).split()] == text.split()
        assert student.characters(first.strip()) == len(first.strip())  # the document itself stands for it
        begun += sum(text[: text.index(passage)].rstrip().endswith(".") for passage in own)
    assert begun / len(passages) > 0.9  # most begin with a sentence
    record = output.record()
    assert (record.documents, record.long_documents, record.drawn) == (40, 4, len(passages))
    assert record.trained_tokens == record.tokens
    assert 0.2 < record.indexed_tokens / record.tokens < 0.6
    vectors = np.load(output.vectors_file)
    assert np.allclose(vectors, teacher.encode(passages), atol=1e-5)


def tokenizer(inputs: Path) -> StudentReading:
    return StudentReading(inputs / "vocabulary" / "tokenizer.json", STUDENT_TOKENS)


def test_they_are_a_fourth_of_the_training_texts_at_most(inputs: Path) -> None:
    capped = recipe(inputs / "teacher-model", max_texts=40)
    outputs = [PassagesOutput(run(inputs, "passages", run_passages, capped, f"capped-{n}")) for n in range(2)]
    record = outputs[0].record()
    assert record.drawn == 10 < record.passages
    assert record.trained_tokens < record.tokens
    assert outputs[0].texts_file.read_bytes() == outputs[1].texts_file.read_bytes()
    other = run(inputs, "passages", run_passages, replace(capped, seed=2), "capped-other")
    assert PassagesOutput(other).texts_file.read_bytes() != outputs[0].texts_file.read_bytes()


def test_training_reads_them(inputs: Path) -> None:
    settings = recipe(inputs / "teacher-model")
    if not (inputs / "passages").is_dir():
        run(inputs, "passages", run_passages, settings)
    drawn = PassagesOutput(inputs / "passages").record().drawn
    log = json.loads((run(inputs, "distill", run_distill, settings) / "log.json").read_text())
    assert log["texts"] == 100 + drawn > 140


def test_by_default_none_are_made_and_what_is_read_is_counted(inputs: Path) -> None:
    assert DistillSettings().passage_share == 0
    settings = recipe(inputs / "teacher-model", passage_share=0)
    off = PassagesOutput(run(inputs, "passages", run_passages, settings, "off"))
    assert [path.name for path in off.folder.iterdir()] == ["report.json"]
    made = PassagesOutput(run(inputs, "passages", run_passages, recipe(inputs / "teacher-model"), "on")).record()
    record = off.record()
    assert record.passages == record.drawn == 0
    assert record.trained_tokens == record.indexed_tokens  # all documents are trained on: their beginnings
    for name in ("documents", "long_documents", "tokens", "indexed_tokens"):
        assert getattr(record, name) == getattr(made, name)
    log = json.loads((run(inputs, "distill", run_distill, settings, "distill-off") / "log.json").read_text())
    assert log["texts"] == 100


def test_without_long_documents_nothing_is_added(inputs: Path, tmp_path: Path) -> None:
    for name in ("corpus", "queries", "vocabulary", "teacher"):
        (tmp_path / name).mkdir()
        for path in (inputs / name).iterdir():
            if path.is_file():
                (tmp_path / name / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "corpus" / "corpus.jsonl", [{"_id": "0", "title": "", "text": words(8, 0)}])
    output = PassagesOutput(run(tmp_path, "passages", run_passages, recipe(inputs / "teacher-model")))
    record = output.record()
    assert record.long_documents == record.drawn == 0 and output.texts_file.read_bytes() == b""
    assert record.tokens == record.trained_tokens == record.indexed_tokens > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("short", ["short"]),
        ("One two three. Four en", ["One two three. Four "]),  # what remains is too little
        ("One two three. Four five six seven", ["One two three. ", "Four five six seven"]),
        ("one two three four five six seven", ["one two three four ", "five six seven"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
        (
            "春は花。夏は鳥。秋は月、冬は雪。さえて冷しかりけり。",
            ["春は花。夏は鳥。秋は月、冬は雪。", "さえて冷しかりけり。"],
        ),
    ],
)
def test_where_windows_end(text: str, expected: list[str]) -> None:
    assert [text[begin:end] for begin, end in windows(text, lambda part: min(len(part), 20))] == expected


def test_a_text_is_cut_in_time_that_grows_with_its_length_alone() -> None:
    characters = 0

    def read(part: str) -> int:
        nonlocal characters
        characters += len(part)
        return min(len(part), 500)

    counts = []
    for size in (20_000, 200_000):
        characters = 0
        list(windows("lorem ipsum " * (size // 12), read))
        counts.append(characters)
    assert counts[1] < 11 * counts[0]


def test_what_reads_nothing_ends_the_windows() -> None:
    assert list(windows("one two", lambda part: 0)) == []
