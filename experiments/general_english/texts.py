"""Choose the texts that the general English student is trained on.

Example: python -m experiments.general_english.texts data/unlabelled OUT --sets data

Reads the files of one text a line whose licence allows that what is learnt from them is given away (`SOURCES`: file,
what it is used as, how many of its texts at most), and the Python functions of the running installation (the standard
library and the packages that the default corpus is read from). It writes `passages.jsonl`, the corpus, `short.txt`, the
query-like texts, and `sources.json`: what came from where under which licence, and hashes.

Further texts are made of them: neighbouring passages of one file joined to the length of an abstract, and *terms*, one
to three neighbouring entries of WordNet, so that rare words are met as somebody searches for them.

What belongs to a set that students are measured on is left out (`--sets`, a folder of sets in BEIR layout): short
texts with the words of a query, and passages that share much of their wording with a document.
"""

import argparse
import ast
import csv
import gzip
import hashlib
import json
import platform
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketrank.pipeline.corpus.docstrings import clean_line, source_files
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.near_duplicates import normalise
from pocketrank.pipeline.settings import CorpusSettings
from pocketrank.runtime.files import sha256_bytes, sha256_file, write_bytes, write_json

SOURCES = {
    "wikipedia_ibm_articles": ("passages", 40_000),
    "novels_100_english": ("passages", 3_000),
    "pubmedqa_labeled": ("passages", 6_000),
    "wikipedia_ragmini_sents": ("short", 20_000),
    "wordnet_glosses_examples": ("short", 120_000),
    "sentences_tatoeba": ("short", 10_000),
    "web_sentences_ud_ewt": ("short", 14_000),
    "headlines_clickbait": ("short", 20_000),
    "questions_paralex_wellformedness": ("short", 25_000),
    "titles_stackoverflow_staqc_sql": ("short", 40_000),
    "utterances_banking77_clinc": ("short", 10_000),
    "faq_dstc9": ("short", 15_000),
    "queries_ecommerce_esci_wands": ("short", 600),
}
JOINED = {"wikipedia_ibm_articles": 6_000, "pubmedqa_labeled": 1_500}  # passages of several neighbouring lines
JOINED_CHARACTERS = 1_200  # about the length of an abstract
GLOSSES = "wordnet_glosses_examples"
TERMS = 60_000
FUNCTIONS, SUMMARIES = 12_000, 12_000
FUNCTION_CHARACTERS = range(80, 1_000)
SHINGLE_WORDS = 8
SHARED_WORDING = 0.2  # of a passage's runs of eight words, in the documents of the sets


class HeldOut:
    """The queries of every split and the documents of every set below a folder.

    Order of words, case and punctuation of queries do not matter.
    """

    def __init__(self, sets: Path) -> None:
        folders = sorted(path.parent for path in sets.glob("*/qrels"))
        if not folders:
            raise SystemExit(f"{sets} has no folder in BEIR layout; name the folder of the sets with --sets")
        self._known: set[tuple[str, ...]] = set()
        self._wording: set[int] = set()
        for folder in folders:
            data = read_retrieval_set(folder)
            self._known.update(map(self._bag, data.queries.values()))
            for document in data.documents.values():
                self._wording.update(self._runs(document))

    @staticmethod
    def _bag(text: str) -> tuple[str, ...]:
        return tuple(sorted(normalise(text).split()))

    @staticmethod
    def _runs(text: str) -> list[int]:
        """Return a number for every run of words; a collision is as rare as it is harmless."""
        words = normalise(text).split()
        runs = [" ".join(words[at : at + SHINGLE_WORDS]) for at in range(max(len(words) - SHINGLE_WORDS + 1, 0))]
        return [int.from_bytes(hashlib.blake2b(run.encode(), digest_size=6).digest()) for run in runs]

    def __len__(self) -> int:
        return len(self._known)

    def repeats(self, text: str) -> bool:
        """Tell whether `text` has the words of a query."""
        return self._bag(text) in self._known

    def overlaps(self, passage: str) -> bool:
        """Tell whether a passage shares much of its wording with documents."""
        runs = self._runs(passage)
        return sum(run in self._wording for run in runs) > SHARED_WORDING * len(runs)


def drawn(lines: list[str], most: int) -> list[str]:
    """Return at most `most` different lines in their order, chosen by their hashes: always the same."""
    unique = list(dict.fromkeys(" ".join(line.split()) for line in lines))
    chosen = set(sorted(unique, key=lambda line: hashlib.sha256(line.encode()).digest())[:most])
    return [line for line in unique if line and line in chosen]


def joined(lines: list[str], most: int) -> list[str]:
    """Return neighbouring lines joined until they are as long as an abstract; `most` at most, by their hashes."""
    texts, now = [], ""
    for line in lines:
        now = f"{now} {line}".strip()
        if len(now) >= JOINED_CHARACTERS:
            texts.append(now)
            now = ""
    return drawn(texts, most)


def terms(glosses: list[str], most: int) -> list[str]:
    """Return the names before the glosses, one to three neighbours a text; neighbours are of one field of knowledge."""
    names = [line.partition(":")[0].split(",")[0].strip() for line in glosses if 0 < line.find(":") < 60]
    texts, at = [], 0
    while at < len(names):
        size = 1 + hashlib.sha256(names[at].encode()).digest()[0] % 3
        texts.append(" ".join(names[at : at + size]))
        at += size
    return drawn(texts, most)


@dataclass(frozen=True)
class PythonFunction:
    """A function as it stands in a package."""

    package: str
    source: str
    summary: str  # first paragraph of its docstring, where that is a sentence of moderate length


def python_functions() -> Iterator[PythonFunction]:
    """Yield the functions of the standard library and the packages of the default corpus."""
    library = Path(sysconfig.get_paths()["stdlib"])
    packages = Path(sysconfig.get_paths()["purelib"])
    roots = {"python": library} | {name: packages / name for name in CorpusSettings().packages}
    for package, path in ((name, path) for name, root in roots.items() for path in source_files(root)):
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        lines = text.splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                summary = (ast.get_docstring(node) or "").partition("\n\n")[0]
                moderate = 3 < len(summary.split()) < 25
                yield PythonFunction(package, source, clean_line(summary) if moderate else "")


def package_origin() -> dict[str, Any]:
    """Return versions and licences of what functions are read from."""
    versions = {"python": f"{platform.python_version()}, PSF-2.0"}
    names = metadata.packages_distributions()
    for package in CorpusSettings().packages:
        about = metadata.metadata(names[package][0])
        named = about.get_all("License-Expression") or about.get_all("License") or [""]
        licence = named[0].partition("\n")[0]
        licences = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if "License ::" in line]
        versions[package] = f"{about['Version']}, {licence or '; '.join(licences) or 'see the package'}"
    return {
        "file": "Python functions",
        "licence": "PSF-2.0, BSD, Apache-2.0, MIT: sources.json names each package's",
        "source": "Python's standard library and installed packages",
        "packages": versions,
    }


def main() -> None:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unlabelled", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", type=Path, required=True, help="folder of the sets whose texts are left out")
    arguments = parser.parse_args()
    with (arguments.unlabelled / "MANIFEST.tsv").open(encoding="utf-8", newline="") as stream:
        manifest = {row["file"]: row for row in csv.DictReader(stream, delimiter="\t")}
    held_out = HeldOut(arguments.sets)
    kinds: dict[str, list[str]] = {"passages": [], "short": []}
    records = []

    def add(kind: str, lines: list[str], origin: dict[str, Any], made: str = "") -> None:
        refused = held_out.repeats if kind == "short" else held_out.overlaps
        kept = [line for line in lines if not refused(line)]
        kinds[kind] += kept
        left_out: dict[str, Any] = {"left_out_as_texts_of_sets": len(lines) - len(kept)}
        if "sha256" not in origin:  # no file: a hash of what was taken
            left_out["texts_sha256"] = sha256_bytes("\n".join(kept).encode())
        used_as = f"{kind}, {made}" if made else kind
        records.append({"file": origin["file"], "used_as": used_as, "texts": len(kept)} | left_out | origin)
        print(f"{origin['file']}: {len(kept):,} {used_as}, {len(lines) - len(kept):,} left out", flush=True)

    for name, (kind, most) in SOURCES.items():
        path = arguments.unlabelled / f"{name}.txt.gz"
        row = manifest[path.name]
        origin = {"file": path.name, "sha256": sha256_file(path), "licence": row["licence"], "source": row["source"]}
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
        add(kind, drawn(lines, most), origin)
        if name in JOINED:
            add(kind, joined(lines, JOINED[name]), origin, "joined")
        if name == GLOSSES:
            add("short", terms(lines, TERMS), origin, "terms")
    functions = [function for function in python_functions() if len(function.source) in FUNCTION_CHARACTERS]
    origin = package_origin()
    add("passages", drawn([function.source for function in functions], FUNCTIONS), origin, "source")
    summaries = [function.summary for function in functions if function.summary]
    add("short", drawn(summaries, SUMMARIES), origin, "summaries")
    arguments.out.mkdir(parents=True, exist_ok=True)
    passages = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in kinds["passages"])
    write_bytes(arguments.out / "passages.jsonl", passages.encode())
    write_bytes(arguments.out / "short.txt", ("\n".join(dict.fromkeys(kinds["short"])) + "\n").encode())
    write_json(arguments.out / "sources.json", {"held_out_queries": len(held_out), "files": records})


if __name__ == "__main__":
    main()
