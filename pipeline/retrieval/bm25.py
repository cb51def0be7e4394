"""BM25 as a baseline, in full precision, and as the device has it, in half of the bytes."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...runtime.search.bm25 import Bm25Index, Bm25Settings, collection_language, load_library, tokenize, write_bm25


def bm25_rows(documents: Sequence[str], queries: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the scores of all documents, float32 [documents], for one query after another.

    BM25 as in Robertson and Zaragoza (2009) through `bm25s` with its defaults (Lucene's variant, k1 1.5, b 0.75) and
    the stop words of the documents' language. Raises `UnavailableError` when `bm25s` is not installed.
    """
    bm25s = load_library()
    language = collection_language(documents)
    corpus = tokenize(documents, language)
    model = bm25s.BM25()
    if has_words := any(corpus):
        model.index(corpus, show_progress=False)
    for words in tokenize(queries, language):
        known = [str(word) for word in words if has_words and word in model.vocab_dict]
        yield model.get_scores(known) if known else np.zeros(len(documents), np.float32)


def has_indexable_words(documents: Sequence[str]) -> bool:
    """Tell whether BM25 finds a word in any document; raises `UnavailableError` when `bm25s` is not installed."""
    language = collection_language(documents)
    return any(any(tokenize([document], language)[0]) for document in documents)


@contextmanager
def device_bm25(documents: Sequence[str]) -> Iterator[Bm25Index]:
    """Make the BM25 part of an index of `documents`, as `pocketrank index --hybrid` does, and remove it in the end.

    Raises `UnavailableError` when `bm25s` is not installed, `InputError` when no document has a word.
    """
    settings = Bm25Settings(stop_words=collection_language(documents))
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        write_bm25(Path(folder), documents, settings)
        yield Bm25Index.open(Path(folder), len(documents), settings)
