"""A folder with a recipe and a small judged corpus for runs of all stages, whatever the teacher."""

from pathlib import Path

from .small_models import sentences, write_lines

RECIPE = """\
corpus = { source = "beir", path = "data" }
student = { layers = 1, hidden = 32, heads = 2, intermediate = 64, initialise = "random", max_length = 32 }
vocabulary = { candidates = [512] }
queries = { per_document = 1 }
distill = { steps = 30, batch_texts = 16, warmup_steps = 2 }
evaluate = { bootstrap = 20 }
benchmark = { repetitions = 1, min_seconds = 0.1, min_queries = 60 }
gate = { budget = "budget.toml" }
[teacher]
dimension = 16
workers = 1
"""


def write_home(home: Path, teacher: str) -> Path:
    """Write the folder `home`, with the lines `teacher` at the end of the recipe."""
    documents = [{"_id": f"d{number}", "text": text} for number, text in enumerate(sentences(60))]
    queries = [{"_id": f"q{number}", "text": f"bast {number} goton"} for number in range(16)]
    write_lines(home / "data" / "corpus.jsonl", documents)
    write_lines(home / "data" / "queries.jsonl", queries)
    (home / "data" / "qrels").mkdir()
    for split, numbers in (("train", range(8)), ("test", range(8, 16))):
        lines = "".join(f"q{number}\td{number}\t1\n" for number in numbers)
        (home / "data" / "qrels" / f"{split}.tsv").write_text(lines, encoding="utf-8")
    (home / "budget.toml").write_text('[bundle]\nshipped_bytes = "300 KB"', encoding="utf-8")
    (home / "r.toml").write_text(RECIPE + teacher, encoding="utf-8")
    return home
