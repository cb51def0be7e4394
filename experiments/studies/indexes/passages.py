"""Documents with one vector each beside documents in passages, on judged sets: ranking, bytes and milliseconds.

Example: python -m experiments.studies.indexes.passages general-english data --sets nfcorpus scifact

The bundle encodes queries, documents and passages. A document of passages ranks by its best one (`max`), the mean of
its best two, or all with weights that halve (`decay`). Differences are paired by query, passages minus whole documents.
`--most` takes at most so many documents of a set: all that are judged, and others by chance.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.evaluate.systems import JudgedSplit
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.runtime.documents.document import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import write_json
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.passages.cutter import Cutting, PassageCutter, default_cutting
from pocketrank.runtime.progress import Lines
from pocketrank.runtime.search.by_document import DocumentRanking, ranked_documents
from pocketrank.runtime.search.stored_vectors import StoredVectors, store_vectors

from experiments.figures import paired_difference, rounded

SPLITS = {"scifact": "test", "nfcorpus": "dev", "medquad": "dev", "arguana-train": "dev"}
RANKINGS: tuple[DocumentRanking, ...] = ("max", "mean2", "decay")


def some_documents(data: RetrievalSet, split: str, most: int) -> RetrievalSet:
    """Return `data` with at most `most` documents: those that are judged, and others by chance."""
    judged = {document for grades in data.judgements(split).values() for document in grades}
    judged |= set(data.queries) & set(data.documents)
    others = [name for name in data.documents if name not in judged]
    kept = judged | set(random.Random(1).sample(others, min(len(others), max(0, most - len(judged)))))
    texts = {name: text for name, text in data.documents.items() if name in kept}
    return RetrievalSet(texts, data.titles, data.queries, data.qrels)


def measured(encoder: Encoder, folder: Path, cutting: Cutting, split: str, most: int) -> dict[str, Any]:
    """Return the figures of one set."""
    data = read_retrieval_set(folder)
    judged = JudgedSplit(some_documents(data, split, most) if most else data, split)
    sets, progress = judged.retrieval_set, Lines()
    documents = [Document(name, sets.titles[name], sets.body(name)) for name in sets.documents]
    queries = encoder.encode_queries(judged.texts)
    cutter = PassageCutter(encoder.tokenizer, encoder.prompts.document, cutting)
    started = time.process_time()
    cuts = [cutter.cut(document).passages for document in documents]
    cutting_seconds = time.process_time() - started
    document_of = np.repeat(np.arange(len(cuts), dtype=np.int32), [len(found) for found in cuts])
    started = time.process_time()
    whole = encoder.encode_documents(judged.documents, progress=progress)
    whole_seconds = time.process_time() - started
    started = time.process_time()
    parts = encoder.encode_documents([part.full_text for found in cuts for part in found], progress=progress)
    parts_seconds = time.process_time() - started
    by_whole = StoredVectors("float32", store_vectors(whole, "float32"))
    by_parts = StoredVectors("float32", store_vectors(parts, "float32"))
    base = judged.measure(lambda row, k: by_whole.top(queries[row], k)[0])
    rankings: dict[str, Any] = {}
    for ranking in RANKINGS:
        figures = judged.measure(
            lambda row, k, ranking=ranking: document_of[
                ranked_documents(by_parts, queries[row], document_of, k, ranking)[0]
            ]
        )
        difference = paired_difference(figures.ndcg10, base.ndcg10)
        rankings[ranking] = {
            "ndcg10": round(float(figures.ndcg10.mean()), 4),
            "difference": [round(value, 4) for value in difference],
            "recall100": round(float(figures.recall100.mean()), 4),
        }
    return {
        "set": f"{folder.name}, {split}",
        "documents": len(documents),
        "queries": len(queries),
        "passages": len(document_of),
        "whole": {"ndcg10": rounded(base.summary()["ndcg10"]), "recall100": round(float(base.recall100.mean()), 4)},
        "by_passage": rankings,
        "bytes_of_vectors": {"whole": whole.nbytes, "passages": parts.nbytes},
        "bytes_of_texts": sum(len(part.text.encode()) for found in cuts for part in found),
        "encode_seconds": {"cutting": round(cutting_seconds, 1), "whole": round(whole_seconds, 1)}
        | {"passages": round(parts_seconds, 1)},
        "search_ms": {
            "whole": _milliseconds(lambda row: by_whole.top(queries[row], 10), len(queries)),
            "passages": _milliseconds(
                lambda row: ranked_documents(by_parts, queries[row], document_of, 10), len(queries)
            ),
        },
    }


def _milliseconds(search: Any, queries: int) -> float:
    """Return the median processor time of a search for ten results."""
    times: list[float] = []
    for row in range(min(100, queries)):
        started = time.process_time()
        search(row)
        times.append(time.process_time() - started)
    return round(float(np.median(times)) * 1e3, 3)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path, help="folder of the sets, in BEIR layout")
    parser.add_argument("--sets", nargs="+", choices=SPLITS, default=list(SPLITS), metavar="SET")
    parser.add_argument("--split", default="", help="another split than the one that is reported")
    parser.add_argument("--target", type=int, default=0, help="tokens that small blocks are joined to")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="documents of a set")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    arguments = parser.parse_args()
    encoder = Encoder.open(bundle_path(arguments.bundle))
    default = default_cutting(encoder.max_length)
    cutting = Cutting(default.tokens, arguments.target or default.target, default.overlap)
    rows: list[dict[str, Any]] = []
    for name in arguments.sets:
        split = arguments.split or SPLITS[name]
        rows.append(measured(encoder, arguments.data / name, cutting, split, arguments.most))
        print(rows[-1], flush=True)
        if arguments.out:
            write_json(arguments.out, {"cutting": vars(cutting), "rows": rows})


if __name__ == "__main__":
    main()
