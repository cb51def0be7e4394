"""Retention of the teacher itself in fewer dimensions: nDCG@10 of its reduced vectors, before any distillation.

Example: python -m experiments.studies.teacher_dimensions runs/experiments/scifact-headline --set scifact

RUN is the folder of a run whose stage `teacher` is finished. The axes are fitted on its training texts, as the stage
does it. Writes experiments/reports/teacher-dimensions-<set>.json.
"""

import argparse
from pathlib import Path
from typing import Any

from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_rows
from pocketrank.pipeline.teacher.vectors.files import VectorReader, read_vectors
from pocketrank.pipeline.teacher.vectors.pca import fit_reduction
from pocketrank.runtime.bootstrap import bootstrap_interval, bootstrap_ratio

from experiments.figures import pack, rounded, write_report

DIMENSIONS = (0, 256, 192, 128, 64)


def measure(run: Path, name: str, centre: bool) -> dict[str, Any]:
    """Return the report of one set."""
    corpus, teacher = run / "stages" / "corpus", run / "stages" / "teacher"
    retrieval_set = read_retrieval_set(corpus)
    documents = read_vectors(teacher / "documents.npy", len(retrieval_set.documents))
    queries = read_vectors(teacher / "queries.npy", len(retrieval_set.queries))
    training = VectorReader(teacher / "training.npy")
    queries = scored_rows(queries, retrieval_set, "test")
    whole = evaluate_scores(queries @ documents.T, retrieval_set, "test").ndcg10
    rows = {}
    for dimension in DIMENSIONS:
        reduction = fit_reduction(training.blocks(), dimension, centre)
        scores = reduction.apply(queries) @ reduction.apply(documents).T
        figures = evaluate_scores(scores, retrieval_set, "test").ndcg10
        rows[str(reduction.matrix.shape[1])] = {
            "ndcg10": rounded(bootstrap_interval(figures)),
            "retention": rounded(bootstrap_ratio(figures, whole)),
            "explained": round(reduction.explained, 4),
            "per_query": pack(figures),
        }
    return {"set": name, "centred": centre, "training_texts": training.rows, "dimensions": rows}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--set", dest="name", required=True, metavar="SET", help="name of the retrieval set")
    parser.add_argument("--centre", action="store_true", help="subtract the mean first")
    parser.add_argument("--out", type=Path, default=Path("experiments/reports"), metavar="FOLDER")
    arguments = parser.parse_args()
    report = measure(arguments.run, arguments.name, arguments.centre)
    suffix = "-centred" if arguments.centre else ""
    write_report(arguments.out / f"teacher-dimensions-{arguments.name}{suffix}.json", report)
    for dimension, row in report["dimensions"].items():
        print(f"{dimension:>4}  nDCG@10 {row['ndcg10'][0]:.4f}  {row['retention'][0]:.1%} of the whole teacher")


if __name__ == "__main__":
    main()
