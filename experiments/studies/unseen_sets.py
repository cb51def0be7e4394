"""Retention of a bundle, symmetric, on sets that it was not trained on.

Example: python -m experiments.studies.unseen_sets general-english data --out experiments/reports/general-english.json

Queries and documents are encoded by the bundle. It is compared with the teacher (in bfloat16), BM25, and bundle and
BM25 together as `pocketrank search --hybrid` fuses them. `--cache` keeps the teacher's vectors for the next bundle.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.evaluate.systems import (
    JudgedSplit,
    Vectors,
    bundle_vectors,
    compared_systems,
    encode_documents,
    measure_systems,
)
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.system import TEACHER
from pocketrank.pipeline.settings import EvaluateSettings, TeacherSettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.shards import cached_vectors
from pocketrank.runtime.bootstrap import bootstrap_ratio
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import write_json
from pocketrank.runtime.manifest import read_manifest, shipped_bytes
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.progress import Lines, Progress
from pocketrank.runtime.search.hybrid import hybrid_weight

from experiments.figures import rounded

# The split that is measured. The last four are the ones that the shape and the texts of the general student were
# chosen on: it has not seen them either, but they are not as strange to it as the others.
SETS = {
    "scifact": "test",
    "nfcorpus": "dev",
    "tldr": "dev",
    "cosqa": "dev",
    "medquad": "dev",
    "selqa": "dev",
    "wikiqa": "dev",
    "cranfield": "test",
    "squadshifts-wiki": "dev",
    "snopes-claims": "dev",
    "walmart-amazon": "dev",
}
CHOSEN_ON = ("cranfield", "squadshifts-wiki", "snopes-claims", "walmart-amazon")
METHODS = ("symmetric", "bm25", "hybrid_symmetric")


def measured(bundle: Path, folder: Path, split: str, cache: Path | None, progress: Progress) -> dict[str, Any]:
    """Return nDCG@10 of the teacher and the bundle, and the retention of bundle, BM25 and both together."""
    data, encoder = JudgedSplit(read_retrieval_set(folder), split), Encoder.open(bundle)
    teacher = TeacherSettings(sha256=resolve_teacher(TeacherSettings()).sha256)
    documents = cached_vectors(teacher, data.documents, "document", cache, progress, "bf16")
    queries = cached_vectors(teacher, data.texts, "query", cache, progress, "bf16")
    own = encode_documents(encoder, data.documents, progress)
    vectors = {TEACHER: Vectors(queries, documents), **bundle_vectors(encoder, data.texts, {"student": own})}
    systems = compared_systems(vectors, EvaluateSettings(baselines=("bm25", "hybrid"), stored_vectors=False))
    figures = measure_systems(systems, data, {"bundle": hybrid_weight(bundle, "bundle")})
    ndcg10 = {name: values.ndcg10 for name, values in figures.items()}
    retention = {name: bootstrap_ratio(ndcg10[name], ndcg10["teacher"]) for name in METHODS}
    return {
        "name": f"{folder.name}, {split}",
        "documents": len(data.documents),
        "queries": len(queries),
        "teacher": round(float(ndcg10["teacher"].mean()), 4),
        "ndcg10": round(float(ndcg10["symmetric"].mean()), 4),
        "retention": rounded(retention["symmetric"]),
        "BM25_retention": round(retention["bm25"].mean, 4),
        "hybrid_retention": round(retention["hybrid_symmetric"].mean, 4),
        "chosen_on": folder.name in CHOSEN_ON,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path, help="folder of the sets, in BEIR layout")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    parser.add_argument("--cache", type=Path, help="folder for the teacher's vectors")
    arguments = parser.parse_args()
    folder = bundle_path(arguments.bundle)
    rows = []
    for name in arguments.sets:
        rows.append(measured(folder, arguments.data / name, SETS[name], arguments.cache, Lines()))
        print(rows[-1], flush=True)
    means = {
        f"mean_retention_of_{title}": round(float(np.mean([row["retention"][0] for row in chosen])), 4)
        for title, chosen in (
            ("all_sets", rows),
            ("sets_that_its_shape_was_not_chosen_on", [row for row in rows if not row["chosen_on"]]),
        )
        if chosen
    }
    print(means)
    if arguments.out:
        title = "The general student on sets that it never saw"
        goal = "85 % of the teacher, symmetric, at most 5 MB"
        record = {
            "title": title,
            "goal": goal,
            "shipped_bytes": shipped_bytes(read_manifest(folder)),
            **means,
            "rows": rows,
        }
        write_json(arguments.out, record)


if __name__ == "__main__":
    main()
