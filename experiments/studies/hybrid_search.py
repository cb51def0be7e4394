"""What hybrid search gains and costs on a device: ranking quality, bytes of the index, time of a search.

Example: python -m experiments.studies.hybrid_search runs/scifact/bundle data/scifact --split test

Makes an index of each kind of vectors with a BM25 part, and asks it the judged queries of the split, without and with
BM25 interleaved query by query. Prints the Markdown tables of docs/how-to/hybrid-search.md. `--vectors-from` takes the
teacher's vectors of the documents through the bundle's projection, as `pocketrank index` does.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_rankings, scored_queries
from pocketrank.runtime.bootstrap import bootstrap_ratio
from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.projection import Projection, bundle_projection
from pocketrank.runtime.search.arrays import open_array
from pocketrank.runtime.search.build import TeacherVectors, build_index
from pocketrank.runtime.search.hybrid import HybridIndex, hybrid_weight
from pocketrank.runtime.search.index import DocumentIndex

KINDS = ("float32", "int8", "binary")
RESULTS = 11  # ten, and one more for sets in which a query is itself a document


def measured(
    index: DocumentIndex, bm25_weight: float, vectors: np.ndarray, queries: list[str]
) -> dict[str, tuple[np.ndarray, float]]:
    """Return rankings [queries, results] and the median milliseconds of a search, by mode of search."""
    hybrid = HybridIndex(index, bm25_weight)
    modes: dict[str, Callable[[np.ndarray, str], tuple[np.ndarray, np.ndarray]]] = {
        "vectors": lambda vector, query: index.top(vector, RESULTS),
        "hybrid": lambda vector, query: hybrid.top(vector, query, RESULTS),
    }
    rows: dict[str, list[np.ndarray]] = {mode: [] for mode in modes}
    times: dict[str, list[float]] = {mode: [] for mode in modes}
    for vector, query in zip(vectors, queries, strict=True):
        for mode, search in modes.items():
            started = time.perf_counter()
            positions, _ = search(vector, query)
            times[mode].append(time.perf_counter() - started)
            rows[mode].append(positions)
    return {mode: (np.stack(rows[mode]), 1e3 * statistics.median(times[mode])) for mode in modes}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="folder of a bundle, or the name of a packaged one")
    parser.add_argument("data", type=Path, metavar="DATA_SET", help="a folder in BEIR layout")
    parser.add_argument("--split", default="test")
    parser.add_argument("--vectors-from", type=Path, metavar="NPY")
    arguments = parser.parse_args()
    retrieval_set = read_retrieval_set(arguments.data)
    queries = [retrieval_set.queries[name] for name in scored_queries(retrieval_set, arguments.split)]
    bundle = bundle_path(arguments.bundle)
    encoder = Encoder.open(bundle)
    vectors = encoder.encode_queries(queries)
    corpus = Corpus(arguments.data)
    if arguments.vectors_from:
        document_vectors, projection = open_array(arguments.vectors_from), bundle_projection(bundle)
    else:  # encoded once for the three indexes, and imported as they are
        texts = (encoder.prompts.document + document.full_text for document in corpus)
        document_vectors = np.concatenate(list(encoder.encode_stream(texts)))
        size = encoder.dimension
        projection = Projection(np.zeros(size, np.float32), np.eye(size, dtype=np.float32))
    print(f"{arguments.data.name}, {arguments.split}: {len(corpus):,} documents, {len(queries):,} queries\n")
    print("| vectors | index bytes | of which BM25 | nDCG@10 | hybrid | gain | search ms | hybrid ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            teacher = TeacherVectors(document_vectors, projection) if document_vectors is not None else None
            path = build_index(encoder, corpus, Path(folder) / kind, vectors=kind, teacher=teacher, hybrid=True)
            index = DocumentIndex.open(path)
            weight = hybrid_weight(bundle, index.manifest.documents_by)
            modes = measured(index, weight, vectors, queries)
            alone, both = (
                evaluate_rankings(rankings, retrieval_set, arguments.split).ndcg10 for rankings, _ in modes.values()
            )
            gain = bootstrap_ratio(both, alone)
            sizes = {name: entry.bytes for name, entry in index.manifest.files.items()}
            words = sum(size for name, size in sizes.items() if name.startswith("bm25/"))
            print(
                f"| {kind} | {sum(sizes.values()):,} | {words:,} | {alone.mean():.4f} | {both.mean():.4f} | "
                f"{gain.mean - 1:+.1%} [{gain.low - 1:+.1%}, {gain.high - 1:+.1%}] | "
                f"{modes['vectors'][1]:.2f} | {modes['hybrid'][1]:.2f} |"
            )


if __name__ == "__main__":
    main()
