"""Kill `index sync` at random moments: is the index afterwards as it was before, or as it should be?

    python -m experiments.studies.indexes.kills BUNDLE FOLDER [--kills 100] [--seed 0]

FOLDER holds text files, such as `docs/`. They are copied, indexed with BM25, and then edited, removed and added again
and again. Each time a process that follows the folder is killed (SIGKILL): every second time after a random part of the
time that it needs, in the others before a random one of the operations that it does on files of the index (opening,
renaming, removing), most of which come in the end. What is left is opened: its documents must be, to the last digest,
those before or those after the change, every file must be what `index.json` says, and searches after the change must
give what they give in an index that was never killed. Then the next change begins where this one was cut.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.living.change import sync_index
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.digests import digests_of
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.verify import verify_index

QUERIES = ("how do I sign a bundle", "which machine measures energy", "search by words and vectors together")
FOLLOW = """
import os, signal, sys
from pathlib import Path
from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.living.change import sync_index
encoder, index, last, done = Encoder.open(sys.argv[1]), sys.argv[2], int(sys.argv[4]), 0

def watch(event, arguments):
    global done
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and str(arguments[0]).startswith(index):
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

print("begins", flush=True)
sys.addaudithook(watch)
sync_index(encoder, Path(index), Corpus(Path(sys.argv[3])))
print(done)
"""


def follow(bundle: Path, work: Path, index: str, seconds: float = 600, operations: int = 0) -> tuple[float, int]:
    """Let a process sync an index with `notes/`, and kill it after `seconds`, or before the last of `operations`.

    Return its time, and how many operations it did: 0 when it was killed.
    """
    command = [sys.executable, "-c", FOLLOW, str(bundle), str(work / index), str(work / "notes"), str(operations)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"begins\n"
        began = time.perf_counter()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        return time.perf_counter() - began, int(child.stdout.read() or 0)


def edit(originals: dict[str, str], folder: Path, draw: random.Random) -> None:
    """Make `folder` hold the originals, a third of them changed, a tenth left out, and some new files."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in originals.items():
        chance = draw.random()
        if chance < 0.1:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if chance > 0.4 else f"{text}\n\nEdited {draw.random()}.\n", encoding="utf-8")
    for _ in range(draw.randrange(4)):
        (folder / f"new{draw.random()}.md").write_text(f"# A new file\n\nIt says {draw.random()}.\n", encoding="utf-8")


def answers(index: DocumentIndex, encoder: Encoder) -> str:
    """Return all that the index answers."""
    hybrid = HybridIndex(index)
    found: list[Any] = []
    for query in QUERIES:
        vector = encoder.encode_query(query)
        found += [index.search(vector, 50), hybrid.search(vector, query, 50)]
    return repr(found)


def main(words: list[str] | None = None) -> None:
    """Kill, look, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=bundle_path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    encoder, draw = Encoder.open(arguments.bundle), random.Random(arguments.seed)
    paths = sorted(path for path in arguments.folder.rglob("*.md") if path.is_file())
    originals = {path.relative_to(arguments.folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        edit(originals, work / "notes", draw)
        build_index(encoder, Corpus(work / "notes"), work / "index", hybrid=True)
        counts: Counter[str] = Counter()
        leftovers, whole, operations = 0, 0.0, 0
        while counts.total() < arguments.kills:
            before = DocumentIndex.open(work / "index").digests().tobytes()
            edit(originals, work / "notes", draw)
            after = digests_of(Corpus(work / "notes")).tobytes()
            if not whole:
                shutil.copytree(work / "index", work / "timed")
                whole, operations = follow(arguments.bundle, work, "timed")
            seconds, last = (
                (draw.random() * whole, 0) if counts.total() % 2 else (600.0, draw.randrange(operations) + 1)
            )
            _, ended = follow(arguments.bundle, work, "index", seconds, last)
            index = DocumentIndex.open(work / "index")
            state = {before: "before", after: "after"}.get(index.digests().tobytes(), "between")
            checks = verify_index(work / "index")
            leftovers += any(check.name == "leftovers" for check in checks)
            shutil.rmtree(work / "reference", ignore_errors=True)
            if state == "after":  # the same documents in an index that was never killed
                reference = build_index(encoder, Corpus(work / "notes"), work / "reference", hybrid=True)
                state = (
                    "after" if answers(index, encoder) == answers(DocumentIndex.open(reference), encoder) else "wrong"
                )
            if not all(check.passed for check in checks):
                state = "damaged"
            if not ended:
                counts[state] += 1
            elif state != "after":
                counts["ended without the change"] += 1
        sync_index(encoder, work / "index", Corpus(work / "notes"))
        segments = len(DocumentIndex.open(work / "index").segments)
    result = {
        "seconds of a change": round(whole, 2),
        "operations": operations,
        "kills": dict(counts),
        "with leftovers": leftovers,
    }
    print(json.dumps(result | {"documents": len(originals), "segments in the end": segments}, indent=2))


if __name__ == "__main__":
    main()
