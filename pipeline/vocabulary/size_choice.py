"""Which size of vocabulary: what each candidate costs in bytes, and how it splits the words of queries."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import InputError
from ..settings import VocabularySettings

BYTES_PER_WEIGHT = 1  # the table is counted at 8 bits, whatever is shipped in the end

# Exchange rates of the score, in units of "one whole query of unsplit words"; see docs/explanation/vocabulary.md.
TABLE_WEIGHT = 0.2  # the whole byte budget
SPLIT_WEIGHT = 0.5  # every word of the queries split
UNKNOWN_WEIGHT = 5.0  # every word of the queries unknown


@dataclass(frozen=True)
class Candidate:
    """One size, and what it costs. Rates are shares of words."""

    size: int
    table_bytes: int
    tokenizer_bytes: int
    tokens_per_query: float
    tokens_per_document: float
    tokens_per_word: float
    split_rate: float
    unknown_rate: float
    score: float  # smaller is better
    fits: bool  # within the byte budget
    chosen: bool


def choose_candidate(candidates: Sequence[Candidate], settings: VocabularySettings) -> Candidate:
    """Return the candidate with the smallest score within the byte budget; of equals, the smaller one."""
    fitting = [candidate for candidate in candidates if candidate.fits]
    if not fitting:
        smallest = min(candidates, key=lambda candidate: candidate.table_bytes)
        raise InputError(
            f"vocabulary: no candidate fits max_table_bytes = {settings.max_table_bytes:,}; the smallest has "
            f"{smallest.size:,} tokens and {smallest.table_bytes:,} bytes: raise the limit or add a smaller candidate"
        )
    return min(fitting, key=lambda candidate: (candidate.score, candidate.size))


@dataclass(frozen=True)
class WordCounts:
    """How often each word occurs in some texts."""

    words: Counter[str]
    texts: int


def measure_candidate(
    data: bytes, documents: WordCounts, queries: WordCounts, hidden: int, settings: VocabularySettings
) -> Candidate:
    """Return what the tokenizer `data` (a `tokenizer.json`) costs; `hidden` is the width of the student's table."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(data)
    size = tokenizer.get_vocab_size()
    unknown = tokenizer.token_to_id("[UNK]")
    cuts = _cut_all(tokenizer, documents.words | queries.words)
    total = max(queries.words.total(), 1)
    tokens = sum(count * len(cuts[word]) for word, count in queries.words.items())
    split = sum(count * (len(cuts[word]) > 1) for word, count in queries.words.items())
    unknown_words = sum(count * (unknown in cuts[word]) for word, count in queries.words.items())
    document_tokens = sum(count * len(cuts[word]) for word, count in documents.words.items())
    special = 2 * queries.texts  # [CLS] and [SEP]
    table_bytes = size * hidden * BYTES_PER_WEIGHT
    score = (
        (special + tokens) / (special + total)
        + TABLE_WEIGHT * table_bytes / settings.max_table_bytes
        + SPLIT_WEIGHT * split / total
        + UNKNOWN_WEIGHT * unknown_words / total
    )
    return Candidate(
        size=size,
        table_bytes=table_bytes,
        tokenizer_bytes=len(data),
        tokens_per_query=round(2 + tokens / max(queries.texts, 1), 4),
        tokens_per_document=round(2 + document_tokens / max(documents.texts, 1), 4),
        tokens_per_word=round(tokens / total, 5),
        split_rate=round(split / total, 5),
        unknown_rate=round(unknown_words / total, 6),
        score=round(score, 5),
        fits=table_bytes <= settings.max_table_bytes,
        chosen=False,
    )


def _cut_all(tokenizer: Any, words: Iterable[str]) -> dict[str, list[int]]:
    distinct = list(words)
    return {
        word: encoding.ids
        for start in range(0, len(distinct), 1000)
        for word, encoding in zip(
            distinct[start : start + 1000],
            tokenizer.encode_batch(distinct[start : start + 1000], add_special_tokens=False),
            strict=True,
        )
    }
