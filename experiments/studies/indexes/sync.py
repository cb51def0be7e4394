"""What does it cost to follow a corpus of which one document in a hundred changed, beside making the index anew?

    python -m experiments.studies.indexes.sync BUNDLE DATA [--documents 100000]

DATA holds corpora in BEIR layout; their sentences are the documents, in one file of records. Of these 1 % are changed
where they stand ("changed"), then 0.6 % are changed, 0.2 % removed and 0.2 % added anywhere ("shifted"): all others are
then on another line, which their entries in the index say. Seconds are those of the processor, so that other work on
the machine counts little.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.living.change import sync_index
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex

SHORTEST, LONGEST = 30, 160  # characters of a document
QUERIES = ("treatment of high blood pressure", "list files by size", "who wrote the first novel", "cell growth in mice")


def sentences(folder: Path, count: int) -> Iterator[str]:
    """Yield `count` different sentences of the corpora in `folder`."""
    seen: set[str] = set()
    for path in sorted(folder.glob("*/corpus.jsonl*")):
        for document in Corpus(path):
            for part in document.text.split(". "):
                text = part.strip()
                if SHORTEST <= len(text) <= LONGEST and text not in seen:
                    seen.add(text)
                    yield text
                    if len(seen) == count:
                        return


def write(path: Path, records: list[tuple[str, str]]) -> Corpus:
    """Write records of id and text, and return them as a corpus."""
    lines = (json.dumps({"_id": name, "text": text}) for name, text in records)
    path.write_text("\n".join(lines), encoding="utf-8")
    return Corpus(path)


def edited(records: list[tuple[str, str]], step: int) -> list[tuple[str, str]]:
    """Return `records` with one in a hundred changed; at an odd `step`, some of these are removed or added."""
    count, draw = len(records), random.Random(step)
    changed = set(draw.sample(range(count), count * (6 if step % 2 else 10) // 1000))
    kept = [(name, f"{text} ({step})") if at in changed else (name, text) for at, (name, text) in enumerate(records)]
    if step % 2:
        removed = set(draw.sample(range(count), count // 500))
        kept = [record for at, record in enumerate(kept) if at not in removed]
        for number in range(count // 500):
            kept.insert(draw.randrange(len(kept)), (f"new{step}-{number}", f"New document {number} of step {step}"))
    return kept


def main(words: list[str] | None = None) -> None:
    """Make, change, follow, compare, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=bundle_path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args(words)
    encoder = Encoder.open(arguments.bundle)
    records = [(f"s{at}", text) for at, text in enumerate(sentences(arguments.data, arguments.documents))]
    figures: dict[str, object] = {"documents": len(records)}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)

        def timed(what: str, begin: float) -> None:
            figures[f"{what}, seconds of the processor"] = round(time.process_time() - begin, 2)

        begin, path = time.process_time(), work / "corpus.jsonl"
        build_index(encoder, write(path, records), work / "index", vectors="int8", hybrid=True)
        timed("made", begin)
        for step in range(4):
            records = edited(records, step)
            write(path, records)
            begin = time.process_time()
            changes = sync_index(encoder, work / "index", Corpus(path))
            timed(f"{'shifted' if step % 2 else 'changed'} {step}", begin)
            figures[f"documents encoded, passages copied {step}"] = [changes.encoded, changes.copied]
        begin = time.process_time()
        build_index(encoder, Corpus(path), work / "fresh", vectors="int8", hybrid=True)
        timed("made anew", begin)
        own, fresh = (HybridIndex(DocumentIndex.open(work / folder)) for folder in ("index", "fresh"))
        vectors = [encoder.encode_query(query) for query in QUERIES]
        figures["answers are those of a fresh index"] = all(
            own.index.search(vector, 100) == fresh.index.search(vector, 100)
            and own.search(vector, query, 100) == fresh.search(vector, query, 100)
            for vector, query in zip(vectors, QUERIES, strict=True)
        )
        figures["segments"] = len(own.index.segments)
    figures["most memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
