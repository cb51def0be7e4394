"""A teacher through all stages on a tiny corpus, and its vectors held against its own library's."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pocketrank.benchmarks.records.report import read_report
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.runtime.errors import PocketrankError
from pocketrank.runtime.progress import NoProgress

from experiments.teachers.kinds.accepted import Kind, plain
from experiments.teachers.kinds.folders import sentences
from experiments.teachers.kinds.refused import RefusedKind

_DOCUMENTS, _QUERIES = 60, 20
_RECIPE = """\
name = "kind"

[corpus]
source = "beir"
path = "corpus"

[queries]
max_texts = 150

[vocabulary]
size = 192

[teacher]
model = "teacher"
dimension = 8

[student]
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 32
initialise = "teacher"

[distill]
steps = 4
batch_texts = 16
warmup_steps = 1

[evaluate]
bootstrap = 20

[benchmark]
repetitions = 1
min_seconds = 0.02
min_queries = 10
energy = "none"
"""


@dataclass(frozen=True)
class Outcome:
    """What came of one kind."""

    kind: str
    dimension: int
    prompts: str  # in words
    cosine: float  # of our vectors to those of the library's `encode_query` and `encode_document`, the worst
    compared: str  # by what its graph was written for the benchmark; or why there is none


def write_corpus(folder: Path) -> None:
    """Write a retrieval set whose queries are words of their documents."""
    source = random.Random(4)
    documents = sentences(_DOCUMENTS)
    queries = [" ".join(source.sample(text.split(), min(3, len(text.split())))) for text in documents[:_QUERIES]]
    rows = {
        "corpus.jsonl": [{"_id": f"d{number}", "text": text} for number, text in enumerate(documents)],
        "queries.jsonl": [{"_id": f"q{number}", "text": text} for number, text in enumerate(queries)],
    }
    (folder / "qrels").mkdir(parents=True)
    for name, values in rows.items():
        (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    lines = [f"q{number}\td{number}\t1" for number in range(_QUERIES)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines, ""]), encoding="utf-8")


def worst_cosine(folder: Path) -> float:
    """Return the least cosine of our vectors of a teacher's folder to those of sentence-transformers in float32."""
    from sentence_transformers import SentenceTransformer

    texts = [*sentences(12), "x", " ".join(sentences(20))]
    ours, library = load_teacher(TeacherSettings(model=str(folder))), SentenceTransformer(str(folder), device="cpu")
    library = library.float()
    # The library adds an empty prompt `document`, and so overlooks a `passage` of the folder, which its guide names.
    name = "passage" if library.prompts.get("passage") and not library.prompts.get("document") else None
    pairs = (
        (ours.encode(texts, "query"), library.encode_query(texts, normalize_embeddings=True)),
        (ours.encode(texts, "document"), library.encode_document(texts, name, normalize_embeddings=True)),
    )
    return min(float((one * other).sum(1).min()) for one, other in pairs)


def run_kind(kind: Kind, folder: Path) -> Outcome:
    """Write a teacher of this kind to an empty `folder`, run the recipe there, and return what came of it."""
    teacher = folder / "teacher"
    kind.write(teacher)
    write_corpus(folder / "corpus")
    recipe = folder / "recipe.toml"
    recipe.write_text(_RECIPE, encoding="utf-8")
    overrides = [f"corpus.path={folder / 'corpus'}", f"teacher.model={teacher}"]
    results = run_recipe(read_recipe(recipe, overrides), folder / "run", progress=NoProgress())
    assert list(results) == [stage.name for stage in STAGES]
    report = read_report(folder / "run" / "report.json")
    parity = results["benchmark"].folder / "teacher" / "parity.json"
    loaded = load_teacher(TeacherSettings(model=str(teacher)))
    return Outcome(
        kind.name,
        loaded.dimension,
        loaded.first.prompts_in_words if loaded.first else "",
        round(float(np.minimum(worst_cosine(teacher), 1.0)), 6),
        json.loads(parity.read_text())["name"] if parity.is_file() else report.not_compared,
    )


def refusal(kind: RefusedKind, folder: Path) -> str:
    """Return the message that `pocketrank run --check` refuses this kind with, its folder written as FOLDER."""
    write_corpus(folder / "corpus")
    recipe = folder / "recipe.toml"
    recipe.write_text(_RECIPE, encoding="utf-8")
    name = kind.write(folder / "model")
    overrides = [f"corpus.path={folder / 'corpus'}", f"{kind.key}={name}"]
    if kind.key != "teacher.model":
        plain(folder / "teacher")
        overrides += [f"teacher.model={folder / 'teacher'}", "distill.losses.list_kl=0.5", "distill.batch_lists=1"]
    try:
        found = list(check_recipe(read_recipe(recipe, overrides), folder / "run"))
    except PocketrankError as error:
        return str(error).replace(str(folder / "model"), "FOLDER")
    raise AssertionError(f"{kind.name} was not refused: {found}")
