"""What grows with a corpus before any model reads it: processor seconds and peak memory by the number of passages.

The passages of all sets are shuffled together, and the first so many are taken. The first eight words of each are its
query, judged to be answered by it. Each figure is of a process of its own; its memory at the start, with the passages
read, is taken off the peak.

Example: python -m experiments.studies.corpus_scale data/msmarco data/medquad --passages 10000 20000
"""

import argparse
import multiprocessing
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from pocketrank.pipeline.corpus.sampling import hold_out
from pocketrank.pipeline.corpus.stage import select
from pocketrank.pipeline.queries.stage import training_texts
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, retrieval_files
from pocketrank.pipeline.retrieval.near_duplicates import first_of_each
from pocketrank.pipeline.settings import CorpusSettings, QueriesSettings, VocabularySettings
from pocketrank.pipeline.vocabulary.stage import make_vocabulary

FIXED = 500  # test queries, whatever the number of passages
WIDTH = 192  # of the student
QUERY_WORDS = 8


def read_passages(folders: list[Path], count: int) -> RetrievalSet:
    """Return `count` passages, each with its query in the split `train`."""
    passages = []
    for folder in folders:
        whole = read_retrieval_set(folder)
        passages += [(whole.titles[name], text) for name, text in whole.documents.items()]
    if len(passages) < count:
        raise SystemExit(f"{len(passages):,} passages in all, and {count:,} are wanted: name more sets")
    random.Random(1).shuffle(passages)
    queries = {str(row): " ".join(text.split()[:QUERY_WORDS]) for row, (_, text) in enumerate(passages[:count])}
    return RetrievalSet(
        {str(row): text for row, (_, text) in enumerate(passages[:count])},
        {str(row): title for row, (title, _) in enumerate(passages[:count])},
        queries,
        {"train": {query: {query: 1} for query in queries}},
    )


def with_test_queries(corpus: RetrievalSet, count: int) -> RetrievalSet:
    """Return the corpus with its first queries in the split `test`."""
    names = list(corpus.queries)
    parts = {"test": names[:count], "train": names[count:]}
    qrels = {split: {query: {query: 1} for query in part} for split, part in parts.items()}
    return RetrievalSet(corpus.documents, corpus.titles, corpus.queries, qrels)


def halve(corpus: RetrievalSet) -> None:
    """Keep half of the documents."""
    half = CorpusSettings(source="beir", max_documents=len(corpus.documents) // 2)
    retrieval_files(select(with_test_queries(corpus, FIXED), half))


def drop_near_duplicates(corpus: RetrievalSet) -> None:
    """Drop passages that nearly repeat others."""
    first_of_each(list(corpus.documents.values()), 0.8)


def choose_test_queries(corpus: RetrievalSet) -> None:
    """Choose test queries that no other query repeats."""
    hold_out(corpus.judgements("train"), corpus.queries, CorpusSettings())


def generate_queries(corpus: RetrievalSet) -> None:
    """Make training texts, none of which repeats one of a fixed number of test queries."""
    training_texts(with_test_queries(corpus, FIXED), QueriesSettings(), 1)


def generate_with_share(corpus: RetrievalSet) -> None:
    """Make training texts where every twentieth query is a test query."""
    training_texts(with_test_queries(corpus, len(corpus.queries) // 20), QueriesSettings(), 1)


def learn_vocabulary(corpus: RetrievalSet) -> None:
    """Learn a vocabulary."""
    make_vocabulary(list(corpus.documents.values()), [], VocabularySettings(), WIDTH)


WORK: dict[str, Callable[[RetrievalSet], None]] = {
    "`corpus.max_documents`, half of them": halve,
    "near-duplicates": drop_near_duplicates,
    "choice of test queries": choose_test_queries,
    f"query generation, {FIXED} test queries": generate_queries,
    "query generation, 5 % of the passages have one": generate_with_share,
    "vocabulary": learn_vocabulary,
}


def measure(name: str, folders: list[Path], count: int) -> tuple[float, float]:
    """Return processor seconds of some work, and the megabytes that it adds to the peak of memory."""
    corpus = read_passages(folders, count)
    before, started = _peak(), time.process_time()
    WORK[name](corpus)
    return time.process_time() - started, _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print the rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders in BEIR layout")
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 20_000, 40_000, 80_000])
    arguments = parser.parse_args()
    print(f"| work | {' | '.join(f'{count:,}' for count in arguments.passages)} |")
    print(f"| --- |{' ---: |' * len(arguments.passages)}")
    for name in WORK:
        cells = []
        for count in arguments.passages:
            with multiprocessing.get_context("spawn").Pool(1) as process:
                seconds, megabytes = process.apply(measure, (name, arguments.data, count))
            cells.append(f"{seconds:.1f} s, {megabytes:.0f} MB")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
