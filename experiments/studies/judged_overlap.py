"""Retention of students on test queries that none of the documents judged in training answers.

Example: python -m experiments.studies.judged_overlap DATA --out experiments/reports/judged-overlap.json

Students learn from judged training queries. Where the same documents answer test queries too, part of what they gain is
knowing which documents are asked for. Reads the headline reports in experiments/reports and the judgements of the sets.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import scored_queries
from pocketrank.runtime.bootstrap import bootstrap_ratio
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import sha256_bytes, write_json

from experiments.figures import rounded
from experiments.records import ExperimentReport, read_experiment_reports

FEWEST = 30  # queries that a share is reported of
VARIANTS = ("2.5mb", "2.5mb-unjudged")


def apart(retrieval_set: RetrievalSet, split: str) -> tuple[list[str], np.ndarray]:
    """Return the scored queries of `split`, and which of them no document answers that is judged in training."""
    judged = retrieval_set.qrels.get("train", {}).values()
    known = {document for grades in judged for document, grade in grades.items() if grade > 0}
    names = list(scored_queries(retrieval_set, split))
    grades = (retrieval_set.qrels[split][name] for name in names)
    return names, np.array([not any(grade > 0 and name in known for name, grade in row.items()) for row in grades])


def retention(report: ExperimentReport, system: str, chosen: np.ndarray) -> list[float] | None:
    """Return the share of the teacher's nDCG@10 on some queries, with its interval."""
    student, teacher = report.figures(system), report.figures("teacher")
    if student is None or teacher is None or chosen.sum() < FEWEST:
        return None
    return rounded(bootstrap_ratio(student[chosen], teacher[chosen]))


def main() -> None:
    """Read reports and judgements, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets in BEIR layout")
    parser.add_argument("--reports", type=Path, default=Path("experiments/reports"))
    parser.add_argument("--out", type=Path, default=Path("experiments/reports/judged-overlap.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for report in read_experiment_reports(arguments.reports):
        if report.group != "headline" or report.variant not in VARIANTS or report.seed != 1:
            continue
        retrieval_set = read_retrieval_set(arguments.data / report.data_set)
        names, chosen = apart(retrieval_set, report.split)
        if sha256_bytes("\n".join(names).encode()) != report.queries_sha256:
            raise InputError(f"{report.name} was measured on other queries; run the experiment again")
        row: dict[str, Any] = {"name": f"{report.data_set}, {report.variant}", "queries": len(names)}
        row["apart"] = int(chosen.sum())
        for system in ("asymmetric", "symmetric"):
            row[f"{system} all"] = [round(figure, 4) for figure in report.retention[system]]
            row[f"{system} apart"] = retention(report, system, chosen)
        rows.append(row)
    content = {
        "title": "Queries whose documents training did not know",
        "command": "python -m experiments.studies.judged_overlap DATA",
        "figures": "retention; apart: queries whose documents are not judged in training",
        "rows": rows,
    }
    write_json(arguments.out, content)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
