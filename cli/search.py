"""Find the documents that answer a query.

PATH is an index made by `pocketrank index`, or a bundle: then its index is the folder index/ beside it, or the corpus
that --corpus names is encoded on the spot, by the bundle general-english, which comes with the package, when no bundle
is named. An index finds its bundle in the folder bundle/ beside it, or by --bundle.
QUERY is one argument; - reads it from standard input.

examples:
  pocketrank search --corpus notes/ "how do I renew the certificate"
  pocketrank search runs/pydocs/bundle "merge two sorted lists"
  pocketrank search notes-index "error E4711" --hybrid
  pocketrank search notes-index "how do I renew the certificate" --bundle runs/pydocs/bundle -k 3
"""

import argparse
import math
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import GENERAL, bundle_path
from .output import make_progress, print_json, print_line, print_marked, print_warning, read_corpus

if TYPE_CHECKING:
    from ..runtime.search.index import DocumentIndex, Hit
    from .main import CommandParser

MAX_QUERY_CHARACTERS = 100_000
SHOWN = 200  # characters of a passage


def configure(parser: "CommandParser") -> None:
    """Add the arguments of `search`."""
    parser.add_argument(
        "path",
        type=bundle_path,
        nargs="?",
        metavar="INDEX|BUNDLE",
        help="folder of an index or of a bundle (with --corpus, default: general-english, which comes with pocketrank)",
    )
    parser.add_argument("query", metavar="QUERY", help="what to look for; - reads standard input")
    parser.add_argument("-k", type=int, default=10, help="how many results (default: 10)")
    parser.add_argument(
        "--bundle", type=bundle_path, help="the bundle that the index was made with, when not beside it"
    )
    parser.add_argument("--corpus", type=Path, help="encode and search this corpus instead of a saved index")
    parser.add_argument(
        "--passages",
        choices=("on", "off"),
        default="on",
        help="of --corpus: search passages, or the beginnings of documents (default: on)",
    )
    parser.add_argument(
        "--ranking",
        choices=("max", "mean2", "decay"),
        default="max",
        help="a document ranks by its best passage (max), the mean of its best two, or all, each worth half of the one "
        "before (default: max)",
    )
    parser.add_argument("--hybrid", action="store_true", help="rank by the vectors and BM25 together (needs bm25s)")
    parser.add_argument(
        "--bm25-weight",
        type=float,
        metavar="W",
        help="of BM25 in --hybrid, beside the vectors (default: what the bundle says, or 0.4)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.intermixed = True  # PATH may be left out, and options may stand between it and QUERY


def execute(arguments: argparse.Namespace) -> int:
    """Search and print the results."""
    from ..runtime.errors import InputError
    from ..runtime.search.index import INDEX_NAME

    query = _read_query(arguments.query)
    if arguments.hybrid and arguments.ranking != "max":
        raise InputError(f"--ranking {arguments.ranking} is for search without --hybrid; leave one of them out")
    if arguments.k < 1:
        raise InputError(f"-k {arguments.k}: at least 1 result is needed; give a larger number")
    if arguments.path is None:
        if arguments.corpus is None:
            raise InputError(
                f"there is nothing to search; name an index or a bundle, or a corpus by --corpus for {GENERAL}"
            )
        arguments.path = bundle_path(GENERAL)
    path: Path = arguments.path
    if not path.is_dir():
        raise InputError(f"{path} is no folder; name an index made by `pocketrank index`, or a bundle")
    if (path / INDEX_NAME).is_file():
        return _search(arguments, query, path, _bundle_of_index(arguments))
    if arguments.bundle is not None:
        raise InputError(f"--bundle goes with an index, {path} is none; leave --bundle out or make an index")
    if arguments.corpus is not None:
        return _search_corpus(arguments, query)
    index = path.absolute().parent / "index"
    if not (index / INDEX_NAME).is_file():
        raise InputError(
            f"{path} has no index beside it; make one with `pocketrank index {path} CORPUS`, or give --corpus CORPUS"
        )
    return _search(arguments, query, index, path)


def _bundle_of_index(arguments: argparse.Namespace) -> Path:
    from ..runtime.errors import InputError

    index: Path = arguments.path
    if arguments.corpus is not None:
        raise InputError(f"--corpus needs a bundle, {index} is an index; leave --corpus out or name the bundle")
    bundle = arguments.bundle or index.absolute().parent / "bundle"
    if not bundle.is_dir():
        raise InputError(f"{index} has no bundle beside it; name the one it was made with by --bundle")
    return bundle


def _search_corpus(arguments: argparse.Namespace, query: str) -> int:
    from ..runtime.encoder import Encoder
    from ..runtime.search.build import build_index
    from ..runtime.text.unknown_words import unknown_warning

    encoder, progress = Encoder.open(arguments.path), make_progress()
    corpus = read_corpus(arguments.corpus, progress)
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        index = build_index(
            encoder,
            corpus,
            Path(name) / "index",
            progress=progress,
            hybrid=arguments.hybrid,
            passages=arguments.passages == "on",
        )
        texts = (document.full_text for document in corpus)
        warning = unknown_warning(encoder, texts, len(corpus), f"{arguments.corpus}")
        return _search(arguments, query, index, arguments.path, warning)


def _search(arguments: argparse.Namespace, query: str, index_folder: Path, bundle: Path, warning: str = "") -> int:
    from ..runtime.encoder import Encoder
    from ..runtime.errors import InputError
    from ..runtime.search.hybrid import HybridIndex, hybrid_weight
    from ..runtime.search.index import DocumentIndex
    from ..runtime.search.matches import matched_places
    from ..runtime.text.unknown_words import unknown_warning

    index = DocumentIndex.open(index_folder)
    encoder = Encoder.open(bundle, index.manifest.variant)
    index.check_encoder(encoder)
    print_warning(warning or unknown_warning(encoder, [query], 1, "the query"))
    weight = arguments.bm25_weight
    if weight is None:
        weight = hybrid_weight(bundle, index.manifest.documents_by)
    if not 0 <= weight < math.inf:
        raise InputError(f"--bm25-weight {weight}: a number from 0 is needed, such as 0.4; or leave it out")
    hybrid = HybridIndex(index, weight) if arguments.hybrid else None
    started = time.perf_counter()
    vector = encoder.encode_query(query)
    encoded = time.perf_counter()
    hits = hybrid.search(vector, query, arguments.k) if hybrid else index.search(vector, arguments.k, arguments.ranking)
    finished = time.perf_counter()
    milliseconds = {"encode": round((encoded - started) * 1e3, 3), "search": round((finished - encoded) * 1e3, 3)}
    if arguments.json:
        shown = query if len(query) <= 200 else f"{query[:200]}…"
        results = [asdict(hit) | {"matches": matched_places(hit.text, query)} for hit in hits]
        counts = {"documents": len(index), "passages": index.manifest.count}
        print_json({"query": shown, **counts, "milliseconds": milliseconds, "hits": results})
    else:
        _print_hits(hits, query, index, milliseconds)
    return 0


def _print_hits(hits: list["Hit"], query: str, index: "DocumentIndex", milliseconds: dict[str, float]) -> None:
    from ..runtime.search.matches import excerpt, matched_places

    indent = " " * 12
    for hit in hits:
        print_line(f"{hit.rank:3d}  {hit.score:.3f}  {' > '.join((hit.title or hit.id, *hit.headings))}")
        if hit.file:
            print_line(f"{indent}{hit.file}{f', line {hit.line}' if hit.line else ''}")
        places = matched_places(hit.text, query)
        start, end = excerpt(hit.text, places, SHOWN)
        inside = [(first - start, last - start) for first, last in places if start <= first and last <= end]
        print_marked(hit.text[start:end], inside, indent)
    passages = f", {index.manifest.count:,} passages" if index.manifest.cutting else ""
    print_line(
        f"{len(index):,} documents{passages}; query encoded in {milliseconds['encode']:.2f} ms, "
        f"searched in {milliseconds['search']:.2f} ms"
    )


def _read_query(word: str) -> str:
    from ..runtime.errors import InputError

    if word == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; give the query as an argument")
        data = sys.stdin.buffer.read()
        try:
            query = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"the query has an invalid byte at {error.start}; give it in UTF-8") from None
    else:
        query = word
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(f"the query has more than {MAX_QUERY_CHARACTERS:,} characters; shorten it")
    if any("\ud800" <= character <= "\udfff" for character in query):
        raise InputError("the query is not valid UTF-8; give it in UTF-8")
    if not query.strip():
        raise InputError("the query is empty; say what to look for")
    return query.strip()
