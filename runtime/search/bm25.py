"""The BM25 part of an index: which words are in which passages, and how often.

    bm25/words.json    the words, sorted
    bm25/begins.npy    int32 or int64 [words + 1], where each word's postings begin
    bm25/rows.npy      uint16 or int32 [postings], the passage, ascending for each word
    bm25/counts.npy    uint8 or uint16 [postings], how often the word is in it
    bm25/lengths.npy   int32 [n], the words of each passage

BM25 as in Robertson and Zaragoza (2009), Lucene's variant. What a word is worth follows from these counts when a query
is scored, so that passages can be added and taken away. Words are found by the library bm25s, the optional extra
`hybrid`: it is imported only when an index is made or searched with BM25.
"""

import functools
import importlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..extras import require
from ..files import is_list, parse_json, write_bytes
from .arrays import open_array
from .order import RowOrder
from .words import NO_LANGUAGE, detect_language, words

FOLDER = "bm25"
_KINDS = {
    **{"begins": ("int32", "int64"), "rows": ("uint16", "int32")},
    **{"counts": ("uint8", "uint16"), "lengths": ("int32",)},
}
STOP_WORDS = {  # language -> its list in bm25s.stopwords
    **{"en": "EN", "de": "GERMAN", "fr": "FRENCH", "es": "SPANISH", "pt": "PORTUGUESE", "it": "ITALIAN"},
    **{"nl": "DUTCH", "sv": "SWEDISH", "no": "NORWEGIAN", "da": "DANISH", "tr": "TURKISH", "ru": "RUSSIAN"},
    **{"zh": "CHINESE", "ko": "KOREAN"},
}
NAMES = (*(f"{name}.npy" for name in _KINDS), "words.json")


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
    """Count the words of `texts`, read once, and write the files to the empty or absent `folder`.

    Memory grows with the number of words in all texts (about 30 bytes a word), unlike that of the vectors.
    Raises `InputError` where no text has a word.
    """
    part = count_words(texts, settings)
    if not part.words:
        raise InputError("no document has a word that BM25 could index; leave hybrid search out")
    part.write(folder)


def count_words(texts: Iterable[str], settings: Bm25Settings) -> "Bm25Part":
    """Return which words are in each of `texts`, read once, and how often."""
    tokens = tokenize(texts, settings.stop_words, return_ids=True)
    lengths = np.array([len(found) for found in tokens.ids], dtype=np.int32)
    known = sorted(tokens.vocab)
    number_of = np.zeros(max(tokens.vocab.values(), default=0) + 1, dtype=np.int64)
    number_of[[tokens.vocab[word] for word in known]] = np.arange(len(known))
    flat = np.fromiter(itertools.chain.from_iterable(tokens.ids), dtype=np.int64, count=int(lengths.sum()))
    pairs = number_of[flat] * max(1, len(lengths)) + np.repeat(np.arange(len(lengths)), lengths)
    found, counts = np.unique(pairs, return_counts=True)
    numbers, rows = np.divmod(found, max(1, len(lengths)))
    begins = np.searchsorted(numbers, np.arange(len(known) + 1))
    used = np.flatnonzero(np.diff(begins))  # the library numbers the empty word too
    words_found = {known[number]: place for place, number in enumerate(used)}
    return Bm25Part(words_found, begins[np.append(used, -1)], rows, counts, lengths)


def map_files(folder: Path) -> dict[str, np.ndarray]:
    """Map the files in `folder`, unchecked: arrays by name, and the bytes of the words."""
    path = folder / NAMES[-1]
    try:
        words_file = np.memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); make the index again") from None
    return {name: open_array(folder / f"{name}.npy") for name in _KINDS} | {"words": words_file}


class Bm25Part:
    """Which words are in which passages of one segment, and how often; mapped from disk or in memory."""

    def __init__(
        self, numbers: Mapping[str, int], begins: np.ndarray, rows: np.ndarray, counts: np.ndarray, lengths: np.ndarray
    ) -> None:
        """Keep the number of each word, and the arrays of the head of the module; `rows` ascend for each word."""
        self.words, self.begins, self.rows, self.counts, self.lengths = numbers, begins, rows, counts, lengths

    @classmethod
    def open(cls, folder: Path, count: int) -> "Bm25Part":
        """Open the files in `folder`, made of `count` passages; raise `InputError` where they are not whole."""
        return cls.of_files(map_files(folder), count, folder)

    @classmethod
    def of_files(cls, arrays: Mapping[str, np.ndarray], count: int, folder: Path) -> "Bm25Part":
        """Do what `open` does, of files that are mapped already."""
        arrays = dict(arrays)
        path = folder / NAMES[-1]
        try:
            text = arrays.pop("words").tobytes().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{path} is damaged: it is not UTF-8; make the index again") from None
        listed: Any = parse_json(text, path)
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.name not in _KINDS[name]:
                raise InputError(f"{folder}: {name} is {array.dtype} {array.shape}; make the index again")
        begins, postings = arrays["begins"], len(arrays["rows"])
        whole = len(begins) > 0 and begins[0] == 0 and begins[-1] == postings and bool((np.diff(begins) >= 0).all())
        known = is_list(listed) and len(set(map(str, listed))) == len(begins) - 1
        if len(arrays["lengths"]) != count or len(arrays["counts"]) != postings or not whole or not known:
            raise InputError(f"{folder} does not fit its index; make the index again with `pocketrank index --hybrid`")
        numbers = {str(word): number for number, word in enumerate(listed)}
        return cls(numbers, begins, arrays["rows"], arrays["counts"], arrays["lengths"])

    def postings(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that have `word` (int64, ascending), and how often each has it."""
        number = self.words.get(word)
        if number is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint16)
        place = slice(int(self.begins[number]), int(self.begins[number + 1]))
        return self.rows[place].astype(np.int64), self.counts[place]

    def write(self, folder: Path) -> None:
        """Write the files to the empty or absent `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = np.minimum(self.counts, np.iinfo(np.uint16).max)
        large = len(counts) and counts.max() > np.iinfo(np.uint8).max
        arrays = {
            "begins": self.begins.astype(np.int32 if len(counts) < 1 << 31 else np.int64),
            "rows": self.rows.astype(np.uint16 if len(self.lengths) <= 1 << 16 else np.int32),
            "counts": counts.astype(np.uint16 if large else np.uint8),
            "lengths": self.lengths.astype(np.int32),
        }
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        listed = json.dumps(list(self.words), ensure_ascii=False, separators=(",", ":"))
        write_bytes(folder / NAMES[-1], listed.encode("utf-8", "backslashreplace"))


def merge_parts(parts: Sequence[tuple[Bm25Part, np.ndarray]]) -> Bm25Part:
    """Return one part of the rows that are taken from each of `parts`, ascending; those of the first come first."""
    known: list[str] = sorted({word for part, _ in parts for word in part.words})
    number_of = {word: number for number, word in enumerate(known)}
    taken = [_take(part, rows, number_of) for part, rows in parts]
    sizes = np.array([np.bincount(numbers, minlength=len(known)) for numbers, _, _ in taken])
    used = np.flatnonzero(sizes.sum(axis=0))
    begins = np.concatenate([[0], np.cumsum(sizes.sum(axis=0))])
    rows, counts = np.empty(begins[-1], dtype=np.int64), np.empty(begins[-1], dtype=np.int64)
    filled, first = begins[:-1].copy(), 0
    for (numbers, own_rows, own_counts), size, (_, chosen) in zip(taken, sizes, parts, strict=True):
        # `numbers` ascend, so that a posting's place is its word's beginning and how many of the word came before.
        places = np.repeat(filled - (np.cumsum(size) - size), size) + np.arange(len(numbers))
        rows[places], counts[places] = own_rows + first, own_counts
        filled += size
        first += len(chosen)
    lengths = np.concatenate([part.lengths[chosen] for part, chosen in parts])
    return Bm25Part(
        {known[number]: at for at, number in enumerate(used)}, begins[np.append(used, -1)], rows, counts, lengths
    )


def _take(
    part: Bm25Part, chosen: np.ndarray, number_of: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (numbers of words, rows, counts) of the postings of the `chosen` rows, which are numbered anew."""
    new_row = np.full(len(part.lengths), -1, dtype=np.int64)
    new_row[chosen] = np.arange(len(chosen))
    numbers = np.repeat(np.array([number_of[word] for word in part.words], dtype=np.int64), np.diff(part.begins))
    rows = new_row[part.rows]
    kept = rows >= 0
    return numbers[kept], rows[kept], part.counts[kept].astype(np.int64)


class Bm25Index:
    """The BM25 part of an index, mapped from disk. Open one with `Bm25Index.open`."""

    def __init__(
        self, parts: Sequence[Bm25Part], settings: Bm25Settings, folder: Path, order: RowOrder | None = None
    ) -> None:
        """Search `parts`, one a segment; without `order` there is one, and positions are its rows.

        Raises `UnavailableError` without bm25s, which finds the words of a query.
        """
        load_library()
        self.folder, self._parts, self._settings, self._order = folder, parts, settings, order
        lengths = np.concatenate([part.lengths for part in parts])
        lengths = lengths if order is None else lengths[order.rows]
        mean = lengths.sum(dtype=np.int64) / len(lengths)
        self.count = len(lengths)
        # What the number of occurrences is added to, float32 [n]: more for long passages.
        self._norms = (settings.k1 * (1 - settings.b + settings.b * lengths / (mean or 1.0))).astype(np.float32)

    @classmethod
    def open(cls, folder: Path, count: int, settings: Bm25Settings) -> "Bm25Index":
        """Open the files in `folder`, made of `count` passages.

        Raises `InputError` when they are not whole or do not fit, `UnavailableError` without bm25s.
        """
        load_library()
        return cls([Bm25Part.open(folder, count)], settings, folder)

    def scores(self, query: str) -> np.ndarray:
        """Return float32 [n]: the BM25 score of each position for `query`, 0 where they share no word."""
        (found,) = tokenize([query], self._settings.stop_words)
        scores = np.zeros(self.count, dtype=np.float32)
        for word in found:
            positions, counts = self._postings(str(word))
            weight = np.float32(math.log(1 + (self.count - len(positions) + 0.5) / (len(positions) + 0.5)))
            times = counts.astype(np.float32)
            scores[positions] += weight * (times / (times + self._norms[positions]))
        return scores

    def _postings(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that have `word`, each once, and how often each has it."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for segment, part in enumerate(self._parts):
            rows, counts = part.postings(word)
            if len(rows) and (rows[0] < 0 or rows[-1] >= len(part.lengths) or (np.diff(rows) < 1).any()):
                raise InputError(f"{self.folder} is damaged: it names passages that are not there; index again")
            if self._order is not None:
                rows = self._order.positions[rows + self._order.firsts[segment]]
                rows, counts = rows[rows >= 0], counts[rows >= 0]
            found.append((rows, counts))
        return np.concatenate([rows for rows, _ in found]), np.concatenate([counts for _, counts in found])
