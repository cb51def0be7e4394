"""Vocabularies as `tokenizer.json`, and word counts over a tokenizer's own words.

One rare form of a letter makes a whole word `[UNK]`, so the file itself brings such forms to the usual ones, for
training and for every opener alike: NFKC (ligatures, full width, superscripts, ½), the folds below, then what BERT does
(controls dropped, and where asked for: lower case, accents dropped). Words end at spaces and punctuation, and a symbol
(€, °, an emoji) is a word. What BERT calls accents are all of Unicode's marks without a width of their own: vowel signs
of Hindi, Thai and Bengali, voicing marks of Japanese, final consonants of Korean.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .unigram import WORD_START
from .wordpiece import CONTINUATION

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_WORD_CHARACTERS = 200  # a longer run without a space is [UNK]; Thai and Khmer write whole clauses without one
MAX_WORD_WITHOUT_ACCENTS = 100  # as BERT has it

# What NFKC leaves as it is. Letters are folded where accents and capitals are dropped too.
SIGNS = {"-": "‐‒–—―−", "'": "‘’‚‛ʼ′", '"': "“”„‟«»", "/": "⁄∕"}  # noqa: RUF001
LETTERS = {"ae": "æÆ", "oe": "œŒ", "o": "øØ", "l": "łŁ", "d": "đĐðÐ", "th": "þÞ", "h": "ħĦ", "t": "ŧŦ", "ss": "ßẞ"}
# Where marks are kept: the break between words of Khmer and Thai that has no width, how an emoji is drawn, and the
# Turkish capital whose lower case is a letter and a mark.
BREAKS = {" ": "\u200b", "": "\ufe0e\ufe0f"}
TURKISH = {"i": "İ"}
TRADE_MARKS = "™℠"  # of which NFKC would make letters of the word before
SYMBOL = r"\p{S}"


class WordCounter:
    """Counts words as the tokenizer will see them: normalised, and parted at spaces and punctuation."""

    def __init__(self, lowercase: bool, strip_accents: bool) -> None:
        """Make the normalizer and the pre-tokenizer that go into `tokenizer.json`."""
        from tokenizers import Regex, normalizers, pre_tokenizers

        self.longest_word = MAX_WORD_WITHOUT_ACCENTS if strip_accents else MAX_WORD_CHARACTERS
        accents = None if strip_accents == lowercase else strip_accents  # BERT's default: as it does with capitals
        self.normalizer = normalizers.Sequence(
            [
                *(normalizers.Replace(mark, " ") for mark in TRADE_MARKS),
                normalizers.NFKC(),
                *(normalizers.Replace(form, plain) for form, plain in folds(lowercase, strip_accents)),
                normalizers.BertNormalizer(lowercase=lowercase, strip_accents=accents),
            ]
        )
        self.pre_tokenizers = [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Split(Regex(SYMBOL), "isolated"),
        ]
        self._splitter = pre_tokenizers.Sequence(self.pre_tokenizers)

    def words(self, text: str) -> list[str]:
        """Return the words of one text."""
        return [word for word, _ in self._splitter.pre_tokenize_str(self.normalizer.normalize_str(text))]

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """Return how often each word occurs."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(self.words(text))
        return counts


def folds(lowercase: bool, strip_accents: bool) -> list[tuple[str, str]]:
    """Return what is replaced, a character each, and by what."""
    tables = [SIGNS]
    if lowercase:
        tables.append(LETTERS if strip_accents else TURKISH)
    if not strip_accents:
        tables.append(BREAKS)
    return [(form, plain) for table in tables for plain, forms in table.items() for form in forms]


def wordpiece_tokenizer(tokens: Sequence[str], lowercase: bool, strip_accents: bool) -> bytes:
    """Return a BERT tokenizer in the format of `tokenizers`: special tokens first, then `tokens` in their order."""
    from tokenizers import models

    counter = WordCounter(lowercase, strip_accents)
    vocabulary = {token: position for position, token in enumerate((*SPECIAL_TOKENS, *tokens))}
    model = models.WordPiece(
        vocab=vocabulary,
        unk_token="[UNK]",
        continuing_subword_prefix=CONTINUATION,
        max_input_chars_per_word=counter.longest_word,
    )
    return _tokenizer_bytes(model, counter, [])


def unigram_tokenizer(tokens: Sequence[tuple[str, float]], lowercase: bool, strip_accents: bool) -> bytes:
    """Return a Unigram tokenizer with the same words as the BERT one; `tokens` are (token, log probability)."""
    from tokenizers import models, pre_tokenizers

    scored = [(token, 0.0) for token in SPECIAL_TOKENS] + list(tokens)
    model = models.Unigram(scored, unk_id=SPECIAL_TOKENS.index("[UNK]"), byte_fallback=False)
    mark = pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always", split=False)
    return _tokenizer_bytes(model, WordCounter(lowercase, strip_accents), [mark])


def _tokenizer_bytes(model: Any, counter: WordCounter, further: list[Any]) -> bytes:
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = counter.normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*counter.pre_tokenizers, *further])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = (
        decoders.Metaspace(replacement=WORD_START, prepend_scheme="always")
        if further
        else decoders.WordPiece(prefix=CONTINUATION)
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return (tokenizer.to_str(pretty=False) + "\n").encode("utf-8")


def read_tokens(path: Path) -> list[str]:
    """Return the tokens of a `tokenizer.json` in the order of their ids."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(path)).get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
