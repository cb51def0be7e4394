"""Where a student's first weights come from: chosen by what each start spells of the vocabulary, and said."""

import json
from pathlib import Path

import pytest
from builders import small_models
from pocketrank.pipeline.distill.output import DistillOutput
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.fingerprint import distill_fingerprint
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.start import open_start, spelled_share
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.text.tokenizer_file import open_tokenizer

RUSSIAN = ["как", "удалить", "файл", "##ами", "архив", "показать", "список", "##ов", "сеть", "диск"]


class Notes(NoProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that spells the words of `small_models` and nothing else."""
    return small_models.make_teacher(tmp_path_factory.mktemp("start") / "teacher")


def context(folder: Path, teacher: Path | str, inputs: Path | None = None, **student: str) -> StageContext:
    names = ("corpus", "queries", "vocabulary", "teacher")
    places = {name: inputs / name for name in names} if inputs else {"teacher": folder / "none"}
    settings = StudentSettings(layers=1, hidden=24, heads=2, intermediate=32, max_length=24, **student)  # type: ignore[arg-type]
    recipe = Recipe(
        "r",
        student=settings,
        teacher=TeacherSettings(model=str(teacher)),
        distill=DistillSettings(steps=4, batch_texts=8, workers=1),
    )
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return StageContext(recipe, {}, places, folder / "output", folder / "work", Notes())


def spelled_by(folder: Path) -> list[str]:
    """Return tokens that a folder's tokenizer has."""
    return sorted(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])


def test_a_share_counts_different_spellings_without_an_unknown_piece(teacher: Path) -> None:
    tokenizer = open_tokenizer(teacher / "tokenizer.json", "", InputError)
    words = [token for token in spelled_by(teacher) if token.isalpha() and len(token) > 2][:8]
    assert spelled_share(tokenizer, words) == 1.0
    assert spelled_share(tokenizer, [*words, *RUSSIAN[:8]]) == 0.5
    assert spelled_share(tokenizer, words[:1] * 4) == 0.25


def test_english_words_start_from_the_general_student(tmp_path: Path) -> None:
    here = context(tmp_path, "nowhere")  # the teacher is not opened
    start = open_start(here, ["file", "search", "delete", "##ing", "network", "directory", "the", "of"])
    assert (start.name, set(start.spelled)) == ("general", {"general"})
    assert start.spelled["general"] >= 0.9


def test_words_that_neither_spells_start_at_random(tmp_path: Path, teacher: Path) -> None:
    start = open_start(context(tmp_path, teacher), RUSSIAN)
    assert (start.name, start.source, set(start.spelled)) == ("random", None, {"general", "teacher"})
    assert "random weights (the general student spells" in start.describe()


def test_a_server_is_no_start_and_is_not_asked(tmp_path: Path) -> None:
    start = open_start(context(tmp_path, "http://127.0.0.1:9/v1/embeddings"), RUSSIAN)
    assert (start.name, set(start.spelled)) == ("random", {"general"})


def test_the_teacher_is_taken_where_it_spells_more(tmp_path: Path) -> None:
    teacher = small_models.make_teacher(tmp_path / "teacher")
    _teach_words(teacher, RUSSIAN)
    start = open_start(context(tmp_path, teacher), RUSSIAN)
    assert (start.name, start.spelled["teacher"]) == ("teacher", 1.0)
    assert start.spelled["general"] < 0.5 and start.source is not None


def _teach_words(teacher: Path, words: list[str]) -> None:
    """Rename tokens of a teacher."""
    file = teacher / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    old = [token for token in vocabulary if token.isalpha() and len(token) > 2][: len(words)]
    for token, word in zip(old, words, strict=True):
        vocabulary[word] = vocabulary.pop(token)
    file.write_text(json.dumps(content))


def test_the_stage_starts_and_records_as_it_would_by_name(tmp_path: Path, teacher: Path) -> None:
    inputs = tmp_path / "inputs"
    small_models.make_texts(inputs, documents=60, training=300)
    small_models.make_vectors(inputs)
    weights, records = {}, {}
    for asked in ("auto", "general", "random"):
        here = context(tmp_path / asked, teacher, inputs, initialise=asked)
        run_distill(here)
        output = DistillOutput(here.output)
        weights[asked] = (output.student / "model.safetensors").read_bytes()
        records[asked] = output.start()
        assert any("first weights: " in line for line in here.progress.said)  # type: ignore[attr-defined]
    chosen = records["auto"]["start"]
    assert chosen in ("general", "teacher") and records["general"]["start"] == "general"
    named = context(tmp_path / "named", teacher, inputs, initialise=chosen)
    run_distill(named)
    assert weights["auto"] == (DistillOutput(named.output).student / "model.safetensors").read_bytes()
    assert weights["auto"] != weights["random"]
    assert records["random"] == {"start": "random", "spelled": {}}


def test_the_choice_depends_on_both_starts(teacher: Path) -> None:
    keys = {
        asked: distill_fingerprint(
            Recipe("r", student=StudentSettings(initialise=asked), teacher=TeacherSettings(model=str(teacher)))
        )
        for asked in ("auto", "general", "teacher")
    }
    assert keys["auto"] == keys["general"] and set(keys["teacher"]) < set(keys["auto"])
