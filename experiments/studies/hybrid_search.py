"""What hybrid search gains and costs on a device: ranking quality, bytes of the index, time of a search.

Example: python -m experiments.studies.hybrid_search runs/scifact/bundle data/scifact --split test

Makes an index of each kind of vectors with a BM25 part, and asks it the judged queries of the split, with and without
BM25 in turn for each query. Prints the Markdown tables of docs/hybrid.md. `--vectors-from` takes the teacher's
vectors of the documents through the bundle's projection, as `pocketrank index` does.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_rankings, scored_queries
from pocketrank.runtime.arrays import open_array
from pocketrank.runtime.bootstrap import bootstrap_ratio
from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.hybrid import HybridIndex, hybrid_weight
from pocketrank.runtime.index import DocumentIndex, TeacherVectors, build_index
from pocketrank.runtime.projection import Projection, bundle_projection

KINDS = ("float32", "int8", "binary")
RESULTS = 11  # ten, and one more for sets in which a query is itself a document


def measured(
    index: DocumentIndex, bm25_weight: float, vectors: np.ndarray, queries: list[str]
) -> dict[str, tuple[np.ndarray, float]]:
    """Return rankings [queries, results] and the median milliseconds of a search, by way of searching."""
    both = HybridIndex(index, bm25_weight)
    ways = {"vectors": lambda vector, query: index.top(vector, RESULTS), "hybrid": lambda *q: both.top(*q, RESULTS)}
    rows: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for vector, query in zip(vectors, queries, strict=True):
        for way, search in ways.items():
            started = time.perf_counter()
            found, _ = search(vector, query)
            times[way].append(time.perf_counter() - started)
            rows[way].append(found)
    return {way: (np.stack(rows[way]), 1e3 * statistics.median(times[way])) for way in ways}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, metavar="DATA_SET", help="a folder in BEIR layout")
    parser.add_argument("--split", default="test")
    parser.add_argument("--vectors-from", type=Path, metavar="NPY")
    arguments = parser.parse_args()
    retrieval_set = read_retrieval_set(arguments.data)
    queries = [retrieval_set.queries[name] for name in scored_queries(retrieval_set, arguments.split)]
    encoder = Encoder.open(arguments.bundle)
    vectors = encoder.encode_queries(queries)
    corpus = Corpus(arguments.data)
    imported = arguments.vectors_from is not None
    if imported:
        own, projection = open_array(arguments.vectors_from), bundle_projection(arguments.bundle)
    else:  # encoded once for the three indexes, and taken over as they are
        texts = (encoder.prompts.document + document.full_text for document in corpus)
        own = np.concatenate(list(encoder.encode_stream(texts)))
        size = encoder.dimension
        projection = Projection(np.zeros(size, np.float32), np.eye(size, dtype=np.float32))
    print(f"{arguments.data.name}, {arguments.split}: {len(corpus):,} documents, {len(queries):,} queries\n")
    print("| vectors | index bytes | of which BM25 | nDCG@10 | hybrid | gain | search ms | hybrid ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            made = build_index(
                encoder,
                corpus,
                Path(folder) / kind,
                vectors=kind,
                teacher=TeacherVectors(own, projection),
                hybrid=True,
            )
            index = DocumentIndex.open(made)
            weight = hybrid_weight(arguments.bundle, index.manifest.documents_by)
            found = measured(index, weight, vectors, queries)
            alone, both = (
                evaluate_rankings(found[way][0], retrieval_set, arguments.split).ndcg10 for way in ("vectors", "hybrid")
            )
            gain = bootstrap_ratio(both, alone)
            sizes = index.manifest.files
            words = sum(size for name, size in sizes.items() if name.startswith("bm25/"))
            print(
                f"| {kind} | {sum(sizes.values()):,} | {words:,} | {alone.mean():.4f} | {both.mean():.4f} | "
                f"{gain.mean - 1:+.1%} [{gain.low - 1:+.1%}, {gain.high - 1:+.1%}] | "
                f"{found['vectors'][1]:.2f} | {found['hybrid'][1]:.2f} |"
            )


if __name__ == "__main__":
    main()
