"""The stage that makes a run searchable at once: its corpus, encoded with the file that is shipped."""

from ...runtime.corpus import Document
from ...runtime.encoder import Encoder
from ...runtime.index import build_index
from ..retrieval.dataset import read_retrieval_set
from ..stage import StageContext


def run_index(context: StageContext) -> None:
    """Encode the documents of the corpus with the shipped file and save the index in `index/`."""
    corpus = read_retrieval_set(context.inputs["corpus"])
    bundle = context.inputs["export"] / "bundle"
    documents = [
        Document(identifier, corpus.titles[identifier], corpus.body(identifier)) for identifier in corpus.documents
    ]
    build_index(Encoder.open(bundle), documents, context.output / "index", progress=context.progress)
