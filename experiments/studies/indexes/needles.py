"""Is a paragraph found that stands deep in a long document? Whole documents beside passages, and the paragraph alone.

Example: python -m experiments.studies.indexes.needles general-english data/squadshifts-wiki data/scifact

Two hundred judged queries are drawn, each with another relevant paragraph, the needle. A needle's document begins with
texts of the second set until it has the tokens that `--depths` says; then comes the needle, then one more text. Where
the second set is the first, these are paragraphs that are no needles. Recall@1 is the share of queries whose document
is the first of the two hundred; `alone` is the same with documents of the needle alone, `apart` with the texts around
them as documents too: what no cutting of the documents can better, where those compete for the query.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import scored_queries
from pocketrank.runtime.bootstrap import bootstrap_interval
from pocketrank.runtime.documents.document import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import write_json
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.passages.cutter import Cutting, PassageCutter, default_cutting
from pocketrank.runtime.text.tokenizer_file import TextTokenizer

from experiments.figures import rounded

COUNT = 200


def draw_needles(folder: Path, around: Path, splits: Sequence[str], seed: int) -> tuple[list[str], ...]:
    """Return queries, the text that answers each, and texts that answer none of them."""
    data = read_retrieval_set(folder)
    answers: dict[str, str] = {}  # document -> query
    for split in splits:
        judged, queries = data.judgements(split), scored_queries(data, split)
        random.Random(seed).shuffle(queries)
        for query in queries:
            relevant = [name for name, grade in judged[query].items() if grade > 0 and name != query]
            if len(relevant) == 1 and relevant[0] not in answers and len(answers) < COUNT:
                answers[relevant[0]] = query
    other = data if around == folder else read_retrieval_set(around)
    others = [text for name, text in other.documents.items() if other is not data or name not in answers]
    return [data.queries[query] for query in answers.values()], [data.documents[name] for name in answers], others


def hide(
    needles: Sequence[str], others: Sequence[str], depth: int, tokenizer: TextTokenizer, seed: int
) -> tuple[list[Document], list[str]]:
    """Return a document a needle, which begins behind at least `depth` tokens; and the texts around the needles."""
    source = random.Random(f"{seed} {depth}")
    lengths = tokenizer.lengths(others)
    documents: list[Document] = []
    around: set[int] = set()
    for number, needle in enumerate(needles):
        order = source.sample(range(len(others)), len(others))
        before: list[str] = []
        tokens = 0
        while tokens < depth:
            before.append(others[order[-1]])
            tokens += lengths[order[-1]]
            around.add(order.pop())
        around.add(order[-1])
        documents.append(Document(str(number), "", "\n\n".join([*before, needle, others[order[-1]]])))
    return documents, [others[row] for row in sorted(around)]


def first_found(queries: np.ndarray, vectors: np.ndarray, document_of: Sequence[int]) -> np.ndarray:
    """Return 1 for each query [q, d] whose own document is the best by one of its `vectors` [n, d], else 0."""
    best = np.asarray(document_of)[(queries @ vectors.T).argmax(1)]
    return (best == np.arange(len(queries))).astype(float)


def measured(encoder: Encoder, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return recall@1 of the needles alone, and at each depth in whole documents and in passages."""
    texts, needles, others = draw_needles(arguments.set, arguments.around, arguments.splits, arguments.seed)
    default = default_cutting(encoder.max_length)
    cutting = Cutting(default.tokens, arguments.target or default.target, default.overlap)
    cutter = PassageCutter(encoder.tokenizer, encoder.prompts.document, cutting)
    queries = encoder.encode_queries(texts)
    vectors = encoder.encode_documents(needles)
    alone = first_found(queries, vectors, range(len(needles)))
    rows: list[dict[str, Any]] = []
    for depth in arguments.depths:
        documents, around = hide(needles, others, depth, encoder.tokenizer, arguments.seed)
        cuts = [cutter.cut(document).passages for document in documents]
        document_of = [number for number, passages in enumerate(cuts) for _ in passages]
        passages = encoder.encode_documents([passage.full_text for found in cuts for passage in found])
        whole = first_found(queries, encoder.encode_documents([text.full_text for text in documents]), range(len(cuts)))
        by_passage = first_found(queries, passages, document_of)
        neighbours = encoder.encode_documents(around)
        apart = first_found(
            queries, np.concatenate([vectors, neighbours]), [*range(len(needles)), *([-1] * len(neighbours))]
        )
        rows.append(
            {
                "tokens_before": depth,
                "passages": len(document_of),
                "whole": rounded(bootstrap_interval(whole)),
                "by_passage": rounded(bootstrap_interval(by_passage)),
                "apart": rounded(bootstrap_interval(apart)),
                "share_of_alone": round(float(by_passage.mean() / alone.mean()), 4),
                "share_of_apart": round(float(by_passage.mean() / apart.mean()), 4),
            }
        )
        print(rows[-1], flush=True)
    return {
        "set": f"{arguments.set.name}, {' and '.join(arguments.splits)}",
        "around": arguments.around.name,
        "needles": len(needles),
        "cutting": vars(cutting),
        "alone": rounded(bootstrap_interval(alone)),
        "rows": rows,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("set", type=Path, help="folder of a set in BEIR layout, of short texts")
    parser.add_argument("around", type=Path, help="folder of the set whose texts stand around the needles")
    parser.add_argument("--splits", nargs="+", default=["dev", "train"], help="the second where the first has too few")
    parser.add_argument("--depths", type=int, nargs="+", default=[256, 512, 2000], metavar="TOKENS")
    parser.add_argument("--target", type=int, default=0, help="tokens that small blocks are joined to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    arguments = parser.parse_args()
    record = measured(Encoder.open(bundle_path(arguments.bundle)), arguments)
    print(record["alone"])
    if arguments.out:
        write_json(arguments.out, record)


if __name__ == "__main__":
    main()
