"""The BM25 part of an index: which words are in which documents, and what each is worth there.

    bm25/data.csc.index.npy       float16 [postings], what a word is worth in a document
    bm25/indices.csc.index.npy    uint16 or int32 [postings], the document's position
    bm25/indptr.csc.index.npy     int32 or int64 [words + 1], where each word's postings begin
    bm25/vocab.index.json         word -> its number
    bm25/params.index.json        what bm25s was told

BM25 as in Robertson and Zaragoza (2009), Lucene's variant, scored when the documents are indexed (Lù, "BM25S", 2024).
The files are those that the library bm25s writes, and it reads them too; numbers take half of its bytes, because a
word's worth to four digits ranks as well. Nothing in them is pickled. The library is the optional extra `hybrid`: it
is imported only when an index is made or searched with BM25.
"""

import functools
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..extras import require
from ..files import is_object, read_json
from ..schema import from_mapping
from .arrays import open_array
from .words import NO_LANGUAGE, detect_language, words

FOLDER = "bm25"
_ARRAYS = ("data", "indices", "indptr")
_KINDS = {"data": ("float16",), "indices": ("uint16", "int32"), "indptr": ("int32", "int64")}
STOP_WORDS = {  # language -> its list in bm25s.stopwords
    **{"en": "EN", "de": "GERMAN", "fr": "FRENCH", "es": "SPANISH", "pt": "PORTUGUESE", "it": "ITALIAN"},
    **{"nl": "DUTCH", "sv": "SWEDISH", "no": "NORWEGIAN", "da": "DANISH", "tr": "TURKISH", "ru": "RUSSIAN"},
    **{"zh": "CHINESE", "ko": "KOREAN"},
}
NAMES = (*(f"{name}.csc.index.npy" for name in _ARRAYS), "vocab.index.json", "params.index.json")


@dataclass(frozen=True)
class Bm25Settings:
    """How words were found and weighed; part of `index.json`."""

    method: str = "lucene"  # variant of BM25, by the name that bm25s gives it
    k1: float = 1.5  # how soon more occurrences of a word stop counting
    b: float = 0.75  # how much long documents are held back, from 0 to 1
    stop_words: str = "en"  # the list of bm25s of that language; "none": words of any script, no stop words

    def __post_init__(self) -> None:
        """Refuse what this pocketrank does not compute."""
        if self.method != "lucene" or self.stop_words not in ("", NO_LANGUAGE, *STOP_WORDS):
            raise ValueError(
                f"BM25 {self.method!r} with stop words {self.stop_words!r} is not known; update pocketrank"
            )


@dataclass(frozen=True)
class _Parameters:
    """`params.index.json` as bm25s writes it."""

    k1: float
    b: float
    delta: float
    method: str
    idf_method: str
    dtype: str
    int_dtype: str
    num_docs: int
    version: str
    backend: str


def load_library() -> Any:
    """Return the module bm25s; raise `UnavailableError` with the command that installs it."""
    require("BM25", "bm25s")
    return importlib.import_module("bm25s")


@functools.cache
def _stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language as they come out of `words`: pairs of characters in Chinese."""
    name = STOP_WORDS.get(language)
    listed = getattr(importlib.import_module("bm25s.stopwords"), f"STOPWORDS_{name}") if name else ()
    return frozenset(part for word in listed for part in words(word))


def collection_language(texts: Iterable[str]) -> str:
    """Return the language of `texts`, of which the first are read, as `Bm25Settings.stop_words` has it."""
    load_library()
    return detect_language(texts, {language: _stop_words(language) for language in STOP_WORDS})


def tokenize(texts: Iterable[str], stop_words: str, *, return_ids: bool = False) -> Any:
    """Return what `bm25s.tokenize` gives: English words as it finds them, those of other languages by their script."""
    library = load_library()
    if stop_words in ("", "en"):
        return library.tokenize(texts, stopwords=stop_words or None, show_progress=False, return_ids=return_ids)
    left_out = _stop_words(stop_words)
    kept = (" ".join(word for word in words(text) if word not in left_out) for text in texts)
    return library.tokenize(
        kept, token_pattern=r"\S+", stopwords=None, lower=False, show_progress=False, return_ids=return_ids
    )


def write_bm25(folder: Path, texts: Iterable[str], settings: Bm25Settings) -> None:
    """Index `texts`, read once, and write the files to the empty or absent `folder`.

    Memory grows with the number of words in all texts (about 30 bytes a word), unlike that of the vectors.
    """
    library = load_library()
    tokens = tokenize(texts, settings.stop_words, return_ids=True)
    if not tokens.vocab:
        raise InputError("no document has a word that BM25 could index; leave hybrid search out")
    model = library.BM25(k1=settings.k1, b=settings.b, method=settings.method)
    model.index(tokens, show_progress=False)
    count = len(tokens.ids)
    model.scores["data"] = model.scores["data"].astype(np.float16)
    model.scores["indices"] = model.scores["indices"].astype(np.uint16 if count <= 1 << 16 else np.int32)
    if len(model.scores["data"]) < 1 << 31:
        model.scores["indptr"] = model.scores["indptr"].astype(np.int32)
    model.save(folder, show_progress=False, allow_pickle=False)


class Bm25Index:
    """The BM25 part of an index, mapped from disk. Open one with `Bm25Index.open`."""

    def __init__(self, model: Any, settings: Bm25Settings, folder: Path) -> None:
        """Keep what `Bm25Index.open` has checked."""
        self._model = model
        self._settings = settings
        self.folder = folder

    @classmethod
    def open(cls, folder: Path, count: int, settings: Bm25Settings) -> "Bm25Index":
        """Open the files in `folder`, made of `count` documents.

        Raises `InputError` when they are not whole or do not fit, `UnavailableError` without bm25s.
        """
        library = load_library()
        parameters = from_mapping(_Parameters, read_json(folder / NAMES[4]), str(folder / NAMES[4]))
        vocabulary: Any = read_json(folder / NAMES[3])
        arrays = {name: open_array(folder / file) for name, file in zip(_ARRAYS, NAMES, strict=False)}
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.name not in _KINDS[name]:
                raise InputError(f"{folder}: {name} is {array.dtype} {array.shape}; make the index again")
        begins, postings = arrays["indptr"], len(arrays["data"])
        whole = (
            len(begins) > 1 and begins[0] == 0 and begins[-1] == postings and bool((begins[1:] >= begins[:-1]).all())
        )
        known = is_object(vocabulary) and all(
            type(number) is int and 0 <= number < len(begins) for number in vocabulary.values()
        )
        if parameters.num_docs != count or len(arrays["indices"]) != postings or not whole or not known:
            raise InputError(f"{folder} does not fit its index; make the index again with `pocketrank index --hybrid`")
        model = library.BM25(k1=settings.k1, b=settings.b, method=settings.method)
        model.scores = {**arrays, "num_docs": count}
        model.nonoccurrence_array = None
        # bm25s numbers the empty word after all others and gives it no postings.
        model.vocab_dict = {word: number for word, number in vocabulary.items() if number < len(begins) - 1}
        model.unique_token_ids_set = set(model.vocab_dict.values())
        return cls(model, settings, folder)

    def scores(self, query: str) -> np.ndarray:
        """Return float32 [documents]: the BM25 score of each for `query`, 0 where they share no word."""
        (found,) = tokenize([query], self._settings.stop_words)
        numbers = self._model.get_tokens_ids(found)
        if not numbers:
            return np.zeros(int(self._model.scores["num_docs"]), dtype=np.float32)
        try:
            with np.errstate(all="ignore"):  # a damaged file may hold any number
                scores = self._model.get_scores_from_ids(numbers)
        except IndexError:
            raise InputError(f"{self.folder} is damaged: it names documents that are not there; index again") from None
        return np.nan_to_num(scores, nan=0.0, posinf=0.0, neginf=0.0)
