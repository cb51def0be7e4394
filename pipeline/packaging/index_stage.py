"""The stage that makes a run searchable at once: its corpus, encoded with the file that is shipped."""

from ...runtime.corpus import Document
from ...runtime.encoder import Encoder
from ...runtime.search.build import build_index
from ..corpus.output import CorpusOutput
from ..stage import StageContext
from .output import ExportOutput, IndexOutput


def run_index(context: StageContext) -> None:
    """Encode the documents of the corpus with the shipped file and save the index in `index/`."""
    corpus = CorpusOutput.of(context).retrieval_set()
    bundle = ExportOutput.of(context).bundle
    documents = [
        Document(identifier, corpus.titles[identifier], corpus.body(identifier)) for identifier in corpus.documents
    ]
    folder = IndexOutput(context.output).index
    build_index(Encoder.open(bundle), documents, folder, progress=context.progress, passages=False)
