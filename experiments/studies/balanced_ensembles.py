"""How well two teachers rank together: each alone, the plain mean of their cosines, and balanced by spread.

The second one is cut at as many tokens as the first reads, 256. Spreads are measured on what the stage `teacher` would
measure them on: training queries (generated texts where a set has none) and documents, never on judged queries.

Example:
    python -m experiments.studies.balanced_ensembles data e5 --cache vectors \\
        --out experiments/reports/balanced-ensembles.json
"""

import argparse
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.corpus.stage import select
from pocketrank.pipeline.evaluate.systems import JudgedSplit
from pocketrank.pipeline.queries.stage import training_texts
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import RANK_DEPTH, evaluate_rankings, top_documents
from pocketrank.pipeline.settings import CorpusSettings, QueriesSettings, TeacherSettings
from pocketrank.pipeline.teacher.ensemble import balance_texts, spread_of
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.shards import cached_vectors
from pocketrank.runtime.progress import Lines, Progress

from experiments.figures import machine, paired_difference, write_report

SETS = {"tldr": "dev", "cosqa": "dev", "nfcorpus": "dev", "scifact": "test", "medquad": "dev"}
_TOKENS = 256  # what the default teacher reads of a text


@dataclass(frozen=True)
class Vectors:
    """What one teacher makes of a set: unit vectors, float32 [texts, dimension]."""

    queries: np.ndarray
    documents: np.ndarray
    spread: float  # of a query's cosines with documents


def encoded(
    settings: TeacherSettings, data: JudgedSplit, asked: list[str], shown: list[str], cache: Path, progress: Progress
) -> Vectors:
    """Encode a set, and measure the spread between the texts `asked` and the documents `shown`."""
    documents = cached_vectors(settings, data.documents, "document", cache, progress, "bf16")
    queries = cached_vectors(settings, [*data.texts, *asked], "query", cache, progress, "bf16")
    rows = {text: row for row, text in enumerate(data.documents)}
    spread = spread_of(queries[len(data.texts) :], documents[[rows[text] for text in shown]])
    return Vectors(queries[: len(data.texts)], documents, spread)


def measured(teachers: dict[str, TeacherSettings], folder: Path, split: str, cache: Path) -> dict[str, Any]:
    """Return nDCG@10 of each teacher alone and of both together."""
    whole = select(read_retrieval_set(folder), CorpusSettings(source="beir", test_split=split))
    data = JudgedSplit(whole, "test")
    texts, _ = training_texts(whole, QueriesSettings(), 1)
    asked, shown = balance_texts(texts, data.documents)
    vectors = {name: encoded(teacher, data, asked, shown, cache, Lines()) for name, teacher in teachers.items()}
    weights = {name: 1 / found.spread for name, found in vectors.items()}
    shares = {name: {name: 1.0} for name in vectors} | {"plain mean": dict.fromkeys(vectors, 1.0), "balanced": weights}
    ndcg10 = {}
    for method, parts in shares.items():
        scores = sum(weight * (vectors[name].queries @ vectors[name].documents.T) for name, weight in parts.items())
        ndcg10[method] = evaluate_rankings(top_documents(np.asarray(scores), RANK_DEPTH + 1), whole, "test").ndcg10
    better = max(vectors, key=lambda name: float(ndcg10[name].mean()))
    return {
        "name": f"{folder.name}, {split}",
        "documents": len(data.documents),
        "queries": len(data.texts),
        "spread": {name: found.spread for name, found in vectors.items()},
        "ndcg10": {method: round(float(values.mean()), 4) for method, values in ndcg10.items()},
        "better_alone": better,
        "gain_of_balanced": [round(figure, 4) for figure in paired_difference(ndcg10["balanced"], ndcg10[better])],
    }


def main() -> None:
    """Measure, print a table, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets, in BEIR layout")
    parser.add_argument("second", type=Path, help="folder of the second teacher")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the vectors")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    arguments = parser.parse_args()
    first = TeacherSettings(sha256=resolve_teacher(TeacherSettings()).sha256)
    second = TeacherSettings(model=str(arguments.second), max_length=_TOKENS)
    second = TeacherSettings(model=second.model, max_length=_TOKENS, sha256=resolve_teacher(second).sha256)
    teachers = {"all-MiniLM-L6-v2": first, arguments.second.name: second}
    rows = []
    for name in arguments.sets:
        rows.append(measured(teachers, arguments.data / name, SETS[name], arguments.cache))
        print(rows[-1], flush=True)
    for row in rows:
        figures = " | ".join(f"{value:.3f}" for value in row["ndcg10"].values())
        low, high = row["gain_of_balanced"][1:]
        print(f"| {row['name']} | {figures} | {row['gain_of_balanced'][0]:+.3f} [{low:+.3f}, {high:+.3f}] |")
    if arguments.out:
        title = "Two teachers as one: nDCG@10 of each alone, of the mean of their cosines, and balanced by spread"
        versions = {name: version(name) for name in ("torch", "transformers")}
        record = {
            "title": title,
            "teachers": f"{' and '.join(teachers)}, cut at {_TOKENS} tokens, in bfloat16",
            **machine(),
            **versions,
            "rows": rows,
        }
        write_report(arguments.out, record)


if __name__ == "__main__":
    main()
