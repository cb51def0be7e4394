"""Questions about this project, asked of its own documentation, as `pocketrank search --corpus docs/` does.

Example: python -m experiments.studies.indexes.own_documentation general-english docs

The questions and where each is answered, file and heading, were written down before any of them was asked: ten, on
which the weight of headings was then chosen, and ten more. An answer is right when the first result is a passage of
that file below that heading.
"""

import argparse
import tempfile
from pathlib import Path

from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.index import DocumentIndex, Hit

TRAINED_ON = "What it was trained on"
QUESTIONS = (  # question, file, heading; "" is what stands above the first heading
    ("keep the vectors of documents in fewer bits", "how-to/hybrid-search.md", "Vectors in fewer bits"),
    ("search inside a web page in the browser", "how-to/open-a-bundle.md", "A page that searches"),
    ("how much memory does a run need", "explanation/speed.md", "Memory"),
    ("add the profile of a new device", "how-to/extend.md", "A device"),
    ("how does a document with several passages rank", "explanation/passages.md", "How documents rank"),
    ("which texts was the general English student trained on", "explanation/general-english.md", TRAINED_ON),
    ("open a bundle on a phone with ONNX Runtime Mobile", "how-to/open-a-bundle.md", "ONNX Runtime Mobile"),
    ("how often does the history of releases give a false alarm", "how-to/release-history.md", "How often it is wrong"),
    ("train with a cross-encoder as second teacher", "how-to/second-teachers.md", "A cross-encoder"),
    ("how many tokens should a vocabulary have", "explanation/vocabulary.md", "How many: the rule"),
)
# The ten that the weight of headings was chosen on: four were right without it.
CHOSEN_ON = (
    ("how do I search by words and vectors together", "how-to/hybrid-search.md", ""),
    ("how do I make a key to sign a bundle", "how-to/sign-a-bundle.md", "Make a key"),
    ("in which order may folders import each other", "architecture.md", "The order of imports"),
    ("how can I add my own loss function", "how-to/extend.md", "A loss"),
    ("which kinds of files can hold my documents", "how-to/documents.md", ""),
    ("set up ARM emulation", "how-to/emulated-boards.md", "Set ARM emulation up, once"),
    ("use an embedding server as the teacher", "how-to/teachers.md", "A server"),
    ("why are weights quantized to 7 bits instead of 8", "explanation/quantization.md", "Why int7"),
    ("how is the power sensor read during a benchmark", "explanation/energy.md", "How a sensor is read"),
    ("run the gate in continuous integration on GitHub", "tutorial/gate-a-release.md", "6. In continuous integration"),
)


def is_right(hit: Hit, file: str, heading: str) -> bool:
    """Tell whether a result stands in `file` below `heading`."""
    return hit.file == file and (hit.headings[-1] if hit.headings else "") == heading


def ask(index: DocumentIndex, encoder: Encoder, question: str, file: str, heading: str) -> bool:
    """Ask one question, print what was found where it is wrong, and tell whether it is right."""
    hits = index.search(encoder.encode_query(question), 3)
    right = is_right(hits[0], file, heading)
    print(f"{'right' if right else 'wrong':6} {question}")
    for hit in [] if right else hits:
        print(f"       {hit.score:.3f}  {' > '.join((hit.file, *hit.headings))}, line {hit.line}")
    return right


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("documents", type=Path)
    arguments = parser.parse_args()
    encoder = Encoder.open(bundle_path(arguments.bundle))
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        index = DocumentIndex.open(build_index(encoder, Corpus(arguments.documents), Path(folder) / "index"))
        for title, questions in (("that the weight of headings was chosen on", CHOSEN_ON), ("unseen", QUESTIONS)):
            right = sum(ask(index, encoder, *question) for question in questions)
            print(f"{right} of {len(questions)} questions {title}: the right heading at rank 1")


if __name__ == "__main__":
    main()
