"""Choose the texts that the general English student is trained on.

    python benchmarks/scripts/general_texts.py data/unlabelled OUT --sets data

Reads the files of one text a line whose licence allows that what is learnt from them is given away (`SOURCES`: file,
what it is used as, how many of its texts at most) and writes `passages.jsonl`, the corpus, `short.txt`, the
query-like texts, and `sources.json`: what came from where under which licence, and hashes. Short texts with the words
of a query of a set that students are measured on are left out (`--sets`, a folder of sets in BEIR layout).
"""

import argparse
import csv
import gzip
import hashlib
import json
from pathlib import Path

from pocketrank.pipeline.near_duplicates import normalise
from pocketrank.runtime.files import read_json_lines, sha256_file, write_bytes, write_json

SOURCES = {
    "wikipedia_ibm_articles": ("passages", 50_000),
    "novels_100_english": ("passages", 12_000),
    "pubmedqa_labeled": ("passages", 6_000),
    "wikipedia_ragmini_sents": ("short", 20_000),
    "wordnet_glosses_examples": ("short", 160_000),
    "sentences_tatoeba": ("short", 30_000),
    "web_sentences_ud_ewt": ("short", 14_000),
    "headlines_clickbait": ("short", 20_000),
    "questions_paralex_wellformedness": ("short", 25_000),
    "titles_stackoverflow_staqc_sql": ("short", 40_000),
    "utterances_banking77_clinc": ("short", 37_000),
    "faq_dstc9": ("short", 33_000),
    "queries_ecommerce_esci_wands": ("short", 600),
}


class HeldOut:
    """The queries of every split of every set below a folder; order of words, case and punctuation do not matter."""

    def __init__(self, sets: Path) -> None:
        self._known = {
            self._bag(record["text"])
            for path in sorted(sets.glob("*/queries.jsonl"))
            for _, record in read_json_lines(path)
        }

    @staticmethod
    def _bag(text: str) -> tuple[str, ...]:
        return tuple(sorted(normalise(text).split()))

    def __len__(self) -> int:
        return len(self._known)

    def repeats(self, text: str) -> bool:
        """Tell whether `text` has the words of a query."""
        return self._bag(text) in self._known


def drawn(lines: list[str], most: int) -> list[str]:
    """Return at most `most` different lines by a fixed lot, in their order."""
    unique = list(dict.fromkeys(" ".join(line.split()) for line in lines))
    lot = sorted(unique, key=lambda line: hashlib.sha256(line.encode()).digest())[:most]
    chosen = set(lot)
    return [line for line in unique if line and line in chosen]


def main() -> None:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unlabelled", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", type=Path, required=True, help="folder of the sets whose queries are left out")
    arguments = parser.parse_args()
    with (arguments.unlabelled / "MANIFEST.tsv").open(encoding="utf-8", newline="") as stream:
        manifest = {row["file"]: row for row in csv.DictReader(stream, delimiter="\t")}
    held_out = HeldOut(arguments.sets)
    kinds: dict[str, list[str]] = {"passages": [], "short": []}
    records = []
    for name, (kind, most) in SOURCES.items():
        path = arguments.unlabelled / f"{name}.txt.gz"
        lines = drawn(gzip.decompress(path.read_bytes()).decode("utf-8").splitlines(), most)
        kept = [line for line in lines if not held_out.repeats(line)] if kind == "short" else lines
        kinds[kind] += kept
        row = manifest[path.name]
        records.append(
            {"file": path.name, "sha256": sha256_file(path), "used_as": kind, "texts": len(kept)}
            | {
                "left_out_as_queries_of_sets": len(lines) - len(kept),
                "licence": row["licence"],
                "source": row["source"],
            }
        )
        print(f"{path.name}: {len(kept):,} {kind}, {len(lines) - len(kept):,} left out")
    arguments.out.mkdir(parents=True, exist_ok=True)
    passages = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in kinds["passages"])
    write_bytes(arguments.out / "passages.jsonl", passages.encode())
    write_bytes(arguments.out / "short.txt", ("\n".join(dict.fromkeys(kinds["short"])) + "\n").encode())
    write_json(arguments.out / "sources.json", {"held_out_queries": len(held_out), "files": records})


if __name__ == "__main__":
    main()
