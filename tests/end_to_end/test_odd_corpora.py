"""Corpora of one document, of one word a title, without queries: each run does what it can and says what it cannot."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import small_models
from pocketrank.benchmarks.records.report import read_report
from pocketrank.pipeline.evaluate.record import read_evaluation
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import run_recipe
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

RECIPE = """\
name = "odd"
corpus = {{ source = "{source}", path = "data" }}
teacher = {{ model = "./teacher", dimension = {dimension}, workers = 1 }}
student = {{ layers = 1, hidden = 32, heads = 2, intermediate = 64, initialise = "teacher" }}
vocabulary = {{ candidates = [200] }}
distill = {{ steps = 5, batch_texts = 8, warmup_steps = 2 }}
evaluate = {{ bootstrap = 20 }}
benchmark = {{ repetitions = 1, min_seconds = 0.0, min_queries = 5, compare_teacher = false, energy = "none" }}
gate = {{ budget = "budget.toml" }}
"""
BUDGET = '[bundle]\nshipped_bytes = "300 KB"\n[quality]\nndcg10_symmetric = 0.0\nparity_cosine_min = 0.9\n'
DOCUMENTS = [{"_id": f"d{number}", "text": text} for number, text in enumerate(small_models.sentences(30))]
QUERIES = [{"_id": f"q{number}", "text": f"bast mora {word}"} for number, word in enumerate(small_models.WORDS[:10])]


class Notes(NoProgress):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.said = ""

    def note(self, text: str) -> None:
        self.said += f"{text}\n"


def passage(seed: int) -> str:
    return ". ".join(small_models.sentences(5, seed=seed)) + "."


def lay(data: Path, documents: list[dict[str, str]], split: str = "", queries: bool = True) -> None:
    small_models.write_lines(data / "corpus.jsonl", documents)
    if queries:
        small_models.write_lines(data / "queries.jsonl", QUERIES)
    if split:
        (data / "qrels").mkdir()
        judged = "".join(f"q{number}\td{number}\t1\n" for number in range(len(QUERIES)))
        (data / "qrels" / f"{split}.tsv").write_text(judged, encoding="utf-8")


def one_document(data: Path) -> None:
    (data / "a.txt").write_text(passage(1), encoding="utf-8")


def three_documents(data: Path) -> None:
    for number in range(3):
        (data / f"{number}.txt").write_text(passage(number), encoding="utf-8")


def one_character(data: Path) -> None:
    (data / "a.txt").write_text("a", encoding="utf-8")


def one_word_titles(data: Path) -> None:
    rows = [{"id": word, "title": word, "text": passage(number)} for number, word in enumerate(small_models.WORDS[:20])]
    small_models.write_lines(data / "a.jsonl", rows)


def letters(data: Path) -> None:
    lay(data, [{"_id": f"d{number}", "text": letter} for number, letter in enumerate("abcdefghijklmnopqrst")], "test")


NO_QUERIES = "without test queries, ranking quality will not be measured"
# What makes the corpus, its source, the teacher's dimension, what the run says, and what devices are measured with.
CASES: dict[str, tuple[Callable[[Path], None], str, int, str, str]] = {
    "one document": (one_document, "texts", 4, NO_QUERIES, "training queries of the corpus"),
    "three documents": (three_documents, "texts", 8, "raise corpus.test_fraction", "training queries of the corpus"),
    "titles of one word": (one_word_titles, "texts", 8, NO_QUERIES, "beginnings of the documents"),
    "one character": (one_character, "texts", 0, "fewer than 10 training texts", "beginnings of the documents"),
    "no queries": (lambda data: lay(data, DOCUMENTS, queries=False), "beir", 8, "queries.jsonl", "beginnings"),
    "no judgements": (lambda data: lay(data, DOCUMENTS), "beir", 8, "qrels/test.tsv", "beginnings"),
    "train alone": (
        lambda data: lay(data, DOCUMENTS, "train"),
        "beir",
        8,
        "10 training and 0 test",
        "training queries",
    ),
    "letters": (letters, "beir", 8, "without bm25, fusion, hybrid: no document has a word", "held-out queries"),
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("odd") / "teacher")


def recipe(folder: Path, teacher: Path, source: str, dimension: int) -> Path:
    (folder / "data").mkdir()
    (folder / "teacher").symlink_to(teacher)
    (folder / "budget.toml").write_text(BUDGET, encoding="utf-8")
    (folder / "r.toml").write_text(RECIPE.format(source=source, dimension=dimension), encoding="utf-8")
    return folder / "r.toml"


@pytest.mark.parametrize("case", CASES)
def test_a_run_does_what_it_can_and_says_what_it_cannot(case: str, teacher: Path, tmp_path: Path) -> None:
    make, source, dimension, words, texts = CASES[case]
    path = recipe(tmp_path, teacher, source, dimension)
    make(tmp_path / "data")
    notes = Notes()
    results = run_recipe(read_recipe(path), tmp_path / "out", progress=notes)
    assert "gate" in results and words in notes.said
    stages = tmp_path / "out" / "stages"
    evaluation = read_evaluation(stages / "evaluate" / "evaluation.json")
    report = read_report(stages / "benchmark" / "report.json")
    verdict = json.loads((stages / "gate" / "verdict.json").read_bytes())
    measured = case == "letters"
    assert bool(evaluation.ndcg10) == measured and bool(evaluation.not_measured) != measured
    assert report.quality_not_measured == evaluation.not_measured and texts in report.texts.source
    assert [check["outcome"] for check in verdict["checks"]] == ["pass", "pass" if measured else "inconclusive", "pass"]
    page = (stages / "gate" / "report.html").read_text(encoding="utf-8")
    assert ("Ranking quality was not measured" in page) != measured


def test_more_axes_than_training_texts_are_refused_before_the_teacher_encodes(teacher: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, teacher, "texts", 3)  # before the run, six lines of texts could be there
    one_character(tmp_path / "data")
    with pytest.raises(InputError, match=r"teacher.dimension = 3 needs as many training texts, and there are 1;"):
        run_recipe(read_recipe(path), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "stages").iterdir() if path.name[0] != "."] == ["corpus"]


def test_judgements_that_the_recipe_names_must_be_there(teacher: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, teacher, "beir", 8)
    lay(tmp_path / "data", DOCUMENTS, "train")
    with pytest.raises(InputError, match=r"the split 'dev' has no judgements;.*there are: train"):
        run_recipe(read_recipe(path, ["corpus.test_split=dev"]), tmp_path / "out")
