"""The stage `vocabulary`: pieces learned from the corpus and the training queries, and how many of them to ship.

The method is our own and is explained in `docs/vocabulary.md`. The same texts and settings give the same bytes.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from ..runtime.files import read_json, write_bytes, write_json
from ..runtime.schema import to_mapping
from .beir import read_retrieval_set
from .queries import TrainingText, read_training_texts
from .settings import VocabularySettings
from .stage import StageContext
from .teacher_model import resolve_teacher
from .unigram import WORD_START, learn_unigram
from .vocabulary_plot import vocabulary_plot
from .wordpiece import CONTINUATION, learn_pieces, piece_counts, prune, spellable

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_WORD_CHARACTERS = 100  # a longer run without a space is [UNK]
BYTES_PER_WEIGHT = 1  # the table is counted at 8 bits, whatever is shipped in the end

# Exchange rates of the score, in units of "one whole query of unsplit words"; see docs/vocabulary.md.
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
    pieces_per_word: float
    split_rate: float
    unknown_rate: float
    score: float  # smaller is better
    fits: bool  # within the byte budget
    chosen: bool


def run_vocabulary(context: StageContext) -> None:
    """Write `tokenizer.json`, `report.json` and the table of candidates as a plot, `report.svg`.

    Raises `InputError` when no candidate fits the byte budget, or is smaller than its own alphabet.
    """
    settings = context.recipe.vocabulary
    documents = list(read_retrieval_set(context.inputs["corpus"]).documents.values())
    training = read_training_texts(context.inputs["queries"] / "training.jsonl")
    width = context.recipe.student.table_rank or context.recipe.student.hidden
    pieces: Collection[str] = ()
    if settings.kind == "teacher":
        if "embeddings" in context.recipe.cross_encoder.use and context.recipe.cross_encoder.model:
            raise InputError(
                'vocabulary.kind = "teacher" takes the pieces of teacher.model, and cross_encoder.use = ["embeddings"] '
                'puts another in its place; choose vocabulary.kind = "wordpiece"'
            )
        pieces = teacher_pieces(resolve_teacher(context.recipe.teacher).folder / "tokenizer.json", settings)
    tokenizer, report = make_vocabulary(documents, training, settings, width, pieces)
    write_bytes(context.output / "tokenizer.json", tokenizer)
    write_json(context.output / "report.json", report)
    write_bytes(context.output / "report.svg", vocabulary_plot({report["kind"]: report["candidates"]}))
    chosen = next(candidate for candidate in report["candidates"] if candidate["chosen"])
    context.progress.note(
        f"  {chosen['size']:,} pieces, {chosen['pieces_per_word']:.3f} a word, "
        f"{chosen['unknown_rate']:.4%} of words unknown"
    )


def make_vocabulary(
    documents: Sequence[str],
    training: Sequence[TrainingText],
    settings: VocabularySettings,
    hidden: int,
    pieces: Collection[str] = (),
) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of `tokenizer.json` and the report with the table of candidates.

    `hidden` is the width of the student's embedding table, for its bytes. `pieces` are those to choose among where
    `settings.kind` is "teacher".
    """
    generated = [text.text for text in training if text.role == "query"]
    # Sizes are judged on queries as people write them; where there are none, on whatever stands in for them.
    queries = [text.text for text in training if text.form == "query"] or generated or list(documents)
    counter = WordCounter(settings.lowercase)
    document_words, query_words = counter.count(documents), counter.count(queries)
    words = document_words + counter.count(generated)
    alphabet, dropped = choose_alphabet(words, settings, counter)
    sizes = sorted(set((settings.size,) if settings.size else settings.candidates))
    built: dict[int, tuple[Candidate, bytes]] = {}
    for data in _learn(words, alphabet, sizes, settings, pieces):
        candidate = _measure(
            data, _Texts(document_words, len(documents)), _Texts(query_words, len(queries)), hidden, settings
        )
        built.setdefault(candidate.size, (candidate, data))  # a small corpus may not fill the larger sizes
    best = choose([candidate for candidate, _ in built.values()], settings)
    report = {
        "schema_version": 1,
        "kind": settings.kind,
        "candidates": [
            to_mapping(candidate) | {"chosen": candidate.size == best.size} for candidate, _ in built.values()
        ],
        "rule": {
            "table_weight": TABLE_WEIGHT,
            "split_weight": SPLIT_WEIGHT,
            "unknown_weight": UNKNOWN_WEIGHT,
            "max_table_bytes": settings.max_table_bytes,
            "why": "set in the recipe" if settings.size else "smallest score within the byte budget",
        },
        "words": {"distinct": len(words), "documents": document_words.total(), "queries": query_words.total()},
        "alphabet": len(alphabet),
        "characters_dropped": dropped,
    }
    return built[best.size][1], report


def choose(candidates: Sequence[Candidate], settings: VocabularySettings) -> Candidate:
    """Return the candidate with the smallest score within the byte budget; of equals, the smaller one."""
    fitting = [candidate for candidate in candidates if candidate.fits]
    if not fitting:
        smallest = min(candidates, key=lambda candidate: candidate.table_bytes)
        raise InputError(
            f"vocabulary: no candidate fits max_table_bytes = {settings.max_table_bytes:,}; the smallest has "
            f"{smallest.size:,} pieces and {smallest.table_bytes:,} bytes: raise the limit or add a smaller candidate"
        )
    return min(fitting, key=lambda candidate: (candidate.score, candidate.size))


class WordCounter:
    """Counts words as the tokenizer will see them: normalised, and parted at spaces and punctuation."""

    def __init__(self, lowercase: bool) -> None:
        """Make the normalizer and the pre-tokenizer that go into `tokenizer.json`."""
        from tokenizers import normalizers, pre_tokenizers

        self.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        self.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def words(self, text: str) -> list[str]:
        """Return the words of one text."""
        return [word for word, _ in self.pre_tokenizer.pre_tokenize_str(self.normalizer.normalize_str(text))]

    def count(self, texts: Iterable[str]) -> Counter[str]:
        """Return how often each word occurs."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(self.words(text))
        return counts


def choose_alphabet(
    word_counts: Mapping[str, int], settings: VocabularySettings, counter: WordCounter
) -> tuple[set[str], dict[str, int]]:
    """Return the characters that are never [UNK], and how many of the others occur, by script.

    Kept are all printable ASCII characters and every other one (letter or symbol) that makes up at least
    `settings.min_character_share` of the text. A character gets a row for the start of words, and another for the
    inside of words when it can be there: punctuation always stands alone.
    """
    occurrences: Counter[str] = Counter()
    for word, count in word_counts.items():
        for character in word:
            occurrences[character] += count
    least = max(1.0, settings.min_character_share * occurrences.total())
    ascii_characters = {character for code in range(33, 127) for character in "".join(counter.words(chr(code)))}
    kept = ascii_characters | {character for character, count in occurrences.items() if count >= least}
    alphabet = set(kept)
    alphabet.update(
        CONTINUATION + character for character in kept if counter.words(f"a{character}") == [f"a{character}"]
    )
    dropped: Counter[str] = Counter()
    for character in sorted(set(occurrences) - kept):
        dropped[_script(character)] += occurrences[character]
    return alphabet, dict(sorted(dropped.items()))


def _script(character: str) -> str:
    if not character.isalpha():
        return "symbols"
    return unicodedata.name(character, "UNNAMED").split()[0].lower()


def _learn(
    words: Mapping[str, int],
    alphabet: set[str],
    sizes: Sequence[int],
    settings: VocabularySettings,
    given: Collection[str],
) -> Iterator[bytes]:
    if sizes[0] - len(SPECIAL_TOKENS) < len(alphabet):
        raise InputError(
            f"vocabulary: {sizes[0]} pieces do not hold the alphabet of {len(alphabet)} characters; "
            "choose a larger size or a larger min_character_share"
        )
    known = {word: count for word, count in words.items() if len(word) <= MAX_WORD_CHARACTERS}
    room = [size - len(SPECIAL_TOKENS) for size in sizes]
    if settings.kind == "teacher":
        spelled = spellable(known, alphabet)
        learned = {size: prune(spelled, alphabet, given, size) for size in room}
        used = {size: piece_counts(spelled, pieces) for size, pieces in learned.items()}
        learned = {
            size: [piece for piece in pieces if piece in alphabet or piece in used[size]]
            for size, pieces in learned.items()
        }
    else:
        learned = learn_pieces(known, alphabet, room)
    for pieces in learned.values():
        if settings.kind == "unigram":
            yield unigram_tokenizer(learn_unigram(spellable(known, alphabet), pieces), settings.lowercase)
        else:
            yield wordpiece_tokenizer(pieces, settings.lowercase)


def teacher_pieces(tokenizer_file: Path, settings: VocabularySettings) -> list[str]:
    """Return the pieces of a teacher's WordPiece tokenizer that can occur in a text, without the special tokens.

    Raises `InputError` for a tokenizer of another kind or of another case.
    """
    if not tokenizer_file.is_file():
        raise InputError(f'{tokenizer_file} does not exist; choose vocabulary.kind = "wordpiece"')
    tokenizer = read_json(tokenizer_file)
    model, normalizer = tokenizer.get("model", {}), tokenizer.get("normalizer") or {}
    otherwise = 'so its pieces cannot be taken over; choose vocabulary.kind = "wordpiece"'
    if model.get("type") != "WordPiece" or normalizer.get("type") != "BertNormalizer":
        kinds = f"{model.get('type')} after {normalizer.get('type') or 'no normalizer'}"
        raise InputError(f"{tokenizer_file}: {kinds} is not BERT's WordPiece, {otherwise}")
    if model.get("continuing_subword_prefix") != CONTINUATION or normalizer.get("strip_accents") is False:
        raise InputError(f"{tokenizer_file} marks the inside of words, or reads accents, in another way, {otherwise}")
    if bool(normalizer.get("lowercase")) != settings.lowercase:
        raise InputError(
            f"{tokenizer_file}: lowercase is {bool(normalizer.get('lowercase'))} there and {settings.lowercase} in "
            "vocabulary.lowercase; make them the same"
        )
    counter = WordCounter(settings.lowercase)
    bare = {piece: piece.removeprefix(CONTINUATION) for piece in model["vocab"]}
    return [piece for piece, text in bare.items() if text and counter.words(text) == [text]]


def wordpiece_tokenizer(pieces: Sequence[str], lowercase: bool) -> bytes:
    """Return a BERT tokenizer in the format of `tokenizers`: special tokens first, then `pieces` in their order."""
    from tokenizers import models

    vocabulary = {piece: position for position, piece in enumerate((*SPECIAL_TOKENS, *pieces))}
    model = models.WordPiece(
        vocab=vocabulary,
        unk_token="[UNK]",
        continuing_subword_prefix=CONTINUATION,
        max_input_chars_per_word=MAX_WORD_CHARACTERS,
    )
    return _tokenizer_bytes(model, WordCounter(lowercase), [])


def unigram_tokenizer(pieces: Sequence[tuple[str, float]], lowercase: bool) -> bytes:
    """Return a Unigram tokenizer with the same words as the BERT one; `pieces` are (piece, log probability)."""
    from tokenizers import models, pre_tokenizers

    scored = [(token, 0.0) for token in SPECIAL_TOKENS] + list(pieces)
    model = models.Unigram(scored, unk_id=SPECIAL_TOKENS.index("[UNK]"), byte_fallback=False)
    mark = pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always", split=False)
    return _tokenizer_bytes(model, WordCounter(lowercase), [mark])


def _tokenizer_bytes(model: Any, counter: WordCounter, further: list[Any]) -> bytes:
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = counter.normalizer
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([counter.pre_tokenizer, *further]) if further else counter.pre_tokenizer
    )
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


@dataclass(frozen=True)
class _Texts:
    words: Counter[str]
    count: int  # of texts


def _measure(data: bytes, documents: _Texts, queries: _Texts, hidden: int, settings: VocabularySettings) -> Candidate:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(data)
    size = tokenizer.get_vocab_size()
    unknown = tokenizer.token_to_id("[UNK]")
    cuts = _cut_all(tokenizer, documents.words | queries.words)
    total = max(queries.words.total(), 1)
    pieces = sum(count * len(cuts[word]) for word, count in queries.words.items())
    split = sum(count * (len(cuts[word]) > 1) for word, count in queries.words.items())
    unknown_words = sum(count * (unknown in cuts[word]) for word, count in queries.words.items())
    document_pieces = sum(count * len(cuts[word]) for word, count in documents.words.items())
    framed = 2 * queries.count  # [CLS] and [SEP]
    table_bytes = size * hidden * BYTES_PER_WEIGHT
    score = (
        (framed + pieces) / (framed + total)
        + TABLE_WEIGHT * table_bytes / settings.max_table_bytes
        + SPLIT_WEIGHT * split / total
        + UNKNOWN_WEIGHT * unknown_words / total
    )
    return Candidate(
        size=size,
        table_bytes=table_bytes,
        tokenizer_bytes=len(data),
        tokens_per_query=round(2 + pieces / max(queries.count, 1), 4),
        tokens_per_document=round(2 + document_pieces / max(documents.count, 1), 4),
        pieces_per_word=round(pieces / total, 5),
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


def read_vocabulary(path: Path) -> list[str]:
    """Return the pieces of a `tokenizer.json` in the order of their ids."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(path)).get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
