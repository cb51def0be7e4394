"""Encode a corpus with a bundle into an index that `pocketrank search` reads, and keep the index up to date.

`pocketrank index BUNDLE CORPUS` makes an index: it is short for `pocketrank index make BUNDLE CORPUS`. CORPUS is a
folder in BEIR layout; a file of records (.jsonl, .ndjson, .json, .csv, .tsv, .parquet) with a text and, if there are
any, an _id and a title; a .txt file with one document a line; a .md, .rst or .html file; or a folder of files of these
kinds. Each may be packed as .gz.

`sync` makes an index follow its corpus: it prints what was added, changed and removed, and encodes what is new alone.
`add` adds documents, or replaces those with the same id; `remove` takes documents away. Searching goes on meanwhile,
and whenever one of them is killed, the index is as it was before or after.

examples:
  pocketrank index runs/pydocs/bundle notes/ --out notes-index
  pocketrank index runs/pydocs/bundle corpus.jsonl --vectors int8
  pocketrank index general-english notes/ --out notes-index
  pocketrank index runs/pydocs/bundle corpus.jsonl --hybrid
  pocketrank index runs/pydocs/bundle corpus.jsonl --vectors-from teacher-documents.npy
  pocketrank index sync notes-index notes/ --bundle general-english
  pocketrank index add notes-index letters/ --bundle general-english
  pocketrank index remove notes-index --id todo.md --bundle general-english
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path, is_packaged
from .index_change import CHANGES, configure_change, execute_change

if TYPE_CHECKING:
    from .main import CommandParser


def configure(parser: "CommandParser") -> None:
    """Add the actions of `index`, each with its arguments."""
    parser.actions = ("make", *CHANGES)
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=argparse.ArgumentParser
    )
    make = actions.add_parser("make", help="make an index (what `pocketrank index` does without an action)")
    make.description = "Make an index. Documents are cut into passages, each of which has a vector."
    _configure_make(make)
    for action, (words, _) in CHANGES.items():
        change = actions.add_parser(action, help=words)
        change.description = f"{words[0].upper()}{words[1:]}."
        configure_change(change, action)


def execute(arguments: argparse.Namespace) -> int:
    """Do the action that was asked for."""
    return _make(arguments) if arguments.action == "make" else execute_change(arguments)


def _configure_make(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=bundle_path, metavar="BUNDLE", help="folder of the bundle, or general-english")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="the documents: a file or a folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the index (default: index/ beside BUNDLE)")
    parser.add_argument(
        "--vectors",
        choices=("float32", "int8", "binary"),
        default="float32",
        help="how vectors are kept: 4 bytes, 1 byte, or 1 byte and 1 bit per dimension (default: float32)",
    )
    parser.add_argument(
        "--passages",
        choices=("on", "off"),
        default="on",
        help="give each passage of a document a vector; off: one vector a document, of its beginning (default: on)",
    )
    parser.add_argument(
        "--hybrid", action="store_true", help="index the words too, for `pocketrank search --hybrid` (needs bm25s)"
    )
    parser.add_argument("--variant", default="", help="ONNX file of the bundle to encode with (default: the bundle's)")
    parser.add_argument(
        "--vectors-from",
        type=Path,
        metavar="NPY",
        help="take the teacher's vectors of whole documents from a .npy file, through the bundle's projection",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def _make(arguments: argparse.Namespace) -> int:
    from ..runtime.encoder import Encoder
    from ..runtime.errors import InputError
    from ..runtime.projection import bundle_projection
    from ..runtime.search.arrays import open_array
    from ..runtime.search.build import TeacherVectors, build_index
    from ..runtime.search.index import DocumentIndex
    from ..runtime.text.unknown_words import unknown_warning
    from .output import make_progress, print_json, print_line, print_warning, read_corpus

    if arguments.out is None and is_packaged(arguments.bundle):
        raise InputError("the folder beside general-english belongs to the package; name one for the index by --out")
    encoder = Encoder.open(arguments.bundle, arguments.variant)
    progress = make_progress()
    corpus = read_corpus(arguments.corpus, progress)
    texts = (document.full_text for document in corpus)
    print_warning(unknown_warning(encoder, texts, len(corpus), f"{arguments.corpus}"))
    folder = arguments.out or arguments.bundle.absolute().parent / "index"
    teacher = None
    if arguments.vectors_from is not None:
        teacher = TeacherVectors(open_array(arguments.vectors_from), bundle_projection(arguments.bundle))
    build_index(
        encoder,
        corpus,
        folder,
        vectors=arguments.vectors,
        teacher=teacher,
        progress=progress,
        hybrid=arguments.hybrid,
        passages=arguments.passages == "on",
    )
    manifest = DocumentIndex.open(folder).manifest
    size = manifest.size
    words = sum(entry.bytes for name, entry in manifest.files.items() if name.startswith("bm25/"))
    if arguments.json:
        keys = ("documents", "count", "tokens", "tokens_read", "dimension", "vectors", "documents_by", "space")
        sizes = {"bytes": size, "bm25_bytes": words}
        print_json({"index": str(folder), **sizes, **{key: getattr(manifest, key) for key in keys}})
    else:
        part = f", {words:,} of them for BM25" if words else ""
        print_line(
            f"{manifest.documents:,} documents, {manifest.count:,} passages; "
            f"{manifest.share_read:.1%} of {manifest.tokens:,} tokens reach a vector"
        )
        print_line(f"{manifest.dimension} dimensions in {manifest.vectors}: {size:,} bytes{part}")
        print_line(f"search it: pocketrank search {folder} 'your query'")
    return 0
