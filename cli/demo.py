"""Write one page that searches a corpus in the browser, offline: ranker, tokenizer, documents and runtime inside.

CORPUS is what `pocketrank index` takes: a folder in BEIR layout, a file of records or of text, or a folder of files.
The runtime is ONNX Runtime Web from npm, pinned by hash; --runtime says where its package lies.

examples:
  npm install --ignore-scripts onnxruntime-web@1.30.0
  pocketrank demo runs/pydocs/bundle runs/pydocs/stages/corpus --out pydocs.html
  pocketrank demo runs/pydocs/bundle notes/ --title "My notes" --out notes.html --example "renew the certificate"
"""

import argparse
from pathlib import Path

from ..runtime.packaged import bundle_path

EXAMPLES = 4
EXAMPLE_CHARACTERS = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `demo`."""
    parser.add_argument("bundle", type=bundle_path, metavar="BUNDLE", help="folder of the bundle, or general-english")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="the documents: a file or a folder")
    parser.add_argument("--out", type=Path, default=Path("page.html"), metavar="FILE", help="default: page.html")
    parser.add_argument(
        "--runtime",
        type=Path,
        default=Path("node_modules/onnxruntime-web"),
        metavar="FOLDER",
        help="the npm package onnxruntime-web (default: node_modules/onnxruntime-web)",
    )
    parser.add_argument("--title", default="", help="heading of the page (default: the bundle's name)")
    parser.add_argument(
        "--example",
        action="append",
        default=[],
        metavar="QUERY",
        help="a question that the page offers; may be given several times (default: some of the corpus's own queries)",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Write the page and say what it weighs."""
    from ..export.page import MAIL_BYTES, make_page, read_runtime
    from ..runtime.encoder import Encoder
    from ..runtime.files import write_bytes
    from ..runtime.text.unknown_words import unknown_warning
    from .output import Notes, make_progress, print_json, print_line, print_table, print_warning, read_corpus

    runtime = read_runtime(arguments.runtime)
    progress = Notes() if arguments.json else make_progress()
    corpus = read_corpus(arguments.corpus, progress)
    examples = arguments.example or _own_queries(arguments.corpus)
    texts = (document.full_text for document in corpus)
    print_warning(unknown_warning(Encoder.open(arguments.bundle), texts, len(corpus), f"{arguments.corpus}"))
    page = make_page(arguments.bundle, corpus, runtime, examples, arguments.title, progress)
    write_bytes(arguments.out, page.content)
    size = len(page.content)
    if arguments.json:
        print_json({"page": str(arguments.out), "bytes": size, "documents": page.documents, "parts": page.parts})
        return 0
    rows = [(name, f"{part:,}", f"{100 * part / size:.1f} %") for name, part in page.parts.items()]
    mail = "small enough to be mailed" if size <= MAIL_BYTES else "too large for most mail services (about 18 MB)"
    print_table(f"{arguments.out}", ("part", "bytes", "share"), [*rows, ("in all", f"{size:,}", "100.0 %")], mail)
    print_line(f"open it in a browser: {arguments.out.resolve().as_uri()}")
    return 0


def _own_queries(corpus: Path) -> list[str]:
    """Return a few short queries, spread over the queries.jsonl that lies beside the corpus, if there is one."""
    from ..runtime.documents.json_files import json_line_records

    folder = corpus if corpus.is_dir() else corpus.parent
    path = folder / "queries.jsonl"
    if not path.is_file():
        return []
    texts = (record.text for record in json_line_records(path))
    short = [text for text in texts if 8 < len(text) <= EXAMPLE_CHARACTERS]
    return [short[(2 * number + 1) * len(short) // (2 * EXAMPLES)] for number in range(min(EXAMPLES, len(short)))]
