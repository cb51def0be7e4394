"""The actions of `pocketrank index` that change an index: sync, add, remove."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path

if TYPE_CHECKING:
    from ..runtime.encoder import Encoder
    from ..runtime.living.change import Changes

# Action -> (what it does, which documents CORPUS holds).
CHANGES = {
    "sync": (
        "make the index follow its corpus: what is new, changed or gone",
        "the documents",
    ),
    "add": ("add documents to the index; each replaces the one that has its id", "the documents to add"),
    "remove": ("remove documents from the index", "documents whose ids are removed"),
}
SHOWN = 20  # ids of each kind


def configure_change(parser: argparse.ArgumentParser, action: str) -> None:
    """Add the arguments of one action."""
    parser.add_argument("index", type=Path, metavar="INDEX", help="folder of the index")
    nargs = "?" if action == "remove" else None
    parser.add_argument(
        "corpus", type=Path, nargs=nargs, metavar="CORPUS", help=f"{CHANGES[action][1]}: a file or folder"
    )
    if action == "remove":
        parser.add_argument(
            "--id", action="append", default=[], metavar="ID", help="remove this document; may be repeated"
        )
    parser.add_argument(
        "--bundle", type=bundle_path, help="the bundle that the index was made with, when not beside it"
    )
    parser.add_argument("--json", action="store_true", help="print what changed as JSON")


def execute_change(arguments: argparse.Namespace) -> int:
    """Change the index and print what changed."""
    import time
    from dataclasses import asdict

    from ..runtime.encoder import Encoder
    from ..runtime.search.index import read_index_manifest
    from .output import print_json

    started = time.perf_counter()
    manifest = read_index_manifest(arguments.index)
    changes = _change(arguments, Encoder.open(_bundle(arguments), manifest.variant))
    seconds = round(time.perf_counter() - started, 3)
    if arguments.json:
        print_json({"index": str(arguments.index), **asdict(changes), "seconds": seconds})
    else:
        _print(changes, seconds)
    return 0


def _bundle(arguments: argparse.Namespace) -> Path:
    from ..runtime.errors import InputError

    bundle: Path = arguments.bundle or arguments.index.absolute().parent / "bundle"
    if not bundle.is_dir():
        raise InputError(f"{arguments.index} has no bundle beside it; name the one it was made with by --bundle")
    return bundle


def _change(arguments: argparse.Namespace, encoder: "Encoder") -> "Changes":
    from ..runtime.corpus import Document
    from ..runtime.errors import InputError
    from ..runtime.living.change import add_documents, remove_documents, sync_index
    from .output import make_progress, read_corpus

    progress = make_progress()
    if arguments.action != "remove":
        change = sync_index if arguments.action == "sync" else add_documents
        return change(encoder, arguments.index, read_corpus(arguments.corpus, progress), progress)
    if arguments.corpus is None and not arguments.id:
        raise InputError("there is nothing to remove; name a corpus whose documents go, or ids by --id")
    documents = [] if arguments.corpus is None else list(read_corpus(arguments.corpus, progress))
    return remove_documents(encoder, arguments.index, [*documents, *(Document(name, "", "") for name in arguments.id)])


def _print(changes: "Changes", seconds: float) -> None:
    from .output import print_line

    kinds = (("+", "added", changes.added), ("~", "changed", changes.changed), ("-", "removed", changes.removed))
    for mark, word, ids in kinds:
        _print_ids(mark, word, ids)
    counts = ", ".join(f"{len(ids):,} {word}" for _, word, ids in kinds)
    print_line(f"{counts}; {changes.encoded:,} documents encoded in {seconds:.1f} s")
    print_line(f"{changes.documents:,} documents, {changes.passages:,} passages")


def _print_ids(mark: str, word: str, ids: Sequence[str]) -> None:
    from .output import print_line

    for name in ids[:SHOWN]:
        print_line(f"{mark} {name}")
    if len(ids) > SHOWN:
        print_line(f"{mark} … and {len(ids) - SHOWN:,} more {word}; --json lists all")
