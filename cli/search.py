"""Find the documents that answer a query.

PATH is an index made by `pocketrank index`, or a bundle: then its index is the folder index/ beside it, or the corpus
that --corpus names is encoded on the spot. An index finds its bundle in the folder bundle/ beside it, or by --bundle.
QUERY is one argument; - reads it from standard input.

examples:
  pocketrank search runs/pydocs/bundle "merge two sorted lists"
  pocketrank search notes-index "how do I renew the certificate" --bundle runs/pydocs/bundle -k 3
"""

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

MAX_QUERY_CHARACTERS = 100_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `search`."""
    parser.add_argument("path", type=Path, metavar="INDEX|BUNDLE", help="folder of an index or of a bundle")
    parser.add_argument("query", metavar="QUERY", help="what to look for; - reads standard input")
    parser.add_argument("-k", type=int, default=10, help="how many results (default: 10)")
    parser.add_argument("--bundle", type=Path, help="the bundle that the index was made with, when not beside it")
    parser.add_argument("--corpus", type=Path, help="encode and search this corpus instead of a saved index")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Search and print the results."""
    from ..runtime.errors import InputError
    from ..runtime.index import INDEX_NAME

    query = _read_query(arguments.query)
    if arguments.k < 1:
        raise InputError(f"-k {arguments.k}: at least 1 result is needed; give a larger number")
    path: Path = arguments.path
    if not path.is_dir():
        raise InputError(f"{path} is no folder; name an index made by `pocketrank index`, or a bundle")
    if (path / INDEX_NAME).is_file():
        if arguments.corpus is not None:
            raise InputError(f"--corpus needs a bundle, {path} is an index; leave --corpus out or name the bundle")
        bundle = arguments.bundle or path.absolute().parent / "bundle"
        if not bundle.is_dir():
            raise InputError(f"{path} has no bundle beside it; name the one it was made with by --bundle")
        return _search(arguments, query, path, bundle)
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


def _search_corpus(arguments: argparse.Namespace, query: str) -> int:
    from ..runtime.corpus import Corpus
    from ..runtime.encoder import Encoder
    from ..runtime.index import build_index
    from .output import make_progress

    encoder = Encoder.open(arguments.path)
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        index = build_index(encoder, Corpus(arguments.corpus), Path(folder) / "index", progress=make_progress())
        return _search(arguments, query, index, arguments.path)


def _search(arguments: argparse.Namespace, query: str, index_folder: Path, bundle: Path) -> int:
    from ..runtime.encoder import Encoder
    from ..runtime.index import DocumentIndex
    from .output import print_json, print_line

    index = DocumentIndex.open(index_folder)
    encoder = Encoder.open(bundle, index.manifest.variant)
    index.check_encoder(encoder)
    started = time.perf_counter()
    vector = encoder.encode_query(query)
    encoded = time.perf_counter()
    hits = index.search(vector, arguments.k)
    finished = time.perf_counter()
    milliseconds = {"encode": round((encoded - started) * 1e3, 3), "search": round((finished - encoded) * 1e3, 3)}
    if arguments.json:
        shown = query if len(query) <= 200 else f"{query[:200]}…"
        results = [asdict(hit) for hit in hits]
        print_json({"query": shown, "documents": len(index), "milliseconds": milliseconds, "hits": results})
        return 0
    for hit in hits:
        print_line(f"{hit.rank:3d}  {hit.score:.3f}  {hit.title or hit.id}")
        if hit.snippet:
            print_line(f"            {hit.snippet[:100]}")
    print_line(
        f"{len(index):,} documents; query encoded in {milliseconds['encode']:.2f} ms, "
        f"searched in {milliseconds['search']:.2f} ms"
    )
    return 0


def _read_query(word: str) -> str:
    from ..runtime.errors import InputError

    if word == "-":
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
