"""The stage `vocabulary`: tokens learned from the corpus and the training queries, and how many of them to ship.

The method is our own and is explained in `docs/explanation/vocabulary.md`. The same texts and settings give the same
bytes.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import read_json, write_bytes, write_json
from ...runtime.schema import to_mapping
from ..corpus.output import CorpusOutput
from ..queries.output import QueriesOutput
from ..queries.training_texts import TrainingText
from ..settings import Recipe, VocabularySettings
from ..stage import StageContext
from ..teacher.source import resolve_teacher
from .output import VocabularyOutput
from .plot import vocabulary_plot
from .scripts import learn_by_script, script, script_figures
from .size_choice import (
    BYTES_PER_WEIGHT,
    SPLIT_WEIGHT,
    TABLE_WEIGHT,
    UNKNOWN_WEIGHT,
    Candidate,
    WordCounts,
    choose_candidate,
    measure_candidate,
)
from .tokenizer_file import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, WordCounter, unigram_tokenizer, wordpiece_tokenizer
from .unigram import learn_unigram
from .wordpiece import CONTINUATION, learn_pieces, piece_counts, prune, spellable


def run_vocabulary(context: StageContext) -> None:
    """Write `tokenizer.json`, `report.json` and the table of candidates as a plot, `report.svg`.

    Raises `InputError` when no candidate fits the byte budget, or is smaller than its own alphabet.
    """
    settings = context.recipe.vocabulary
    documents = list(CorpusOutput.of(context).retrieval_set().documents.values())
    training = QueriesOutput.of(context).training_texts()
    width = context.recipe.student.table_rank or context.recipe.student.hidden
    tokens: Collection[str] = ()
    if settings.kind == "teacher":
        tokens = teacher_tokens(resolve_teacher(context.recipe.teacher).folder / "tokenizer.json", settings)
    tokenizer, report = make_vocabulary(documents, training, settings, width, tokens)
    write_bytes(VocabularyOutput(context.output).tokenizer_file, tokenizer)
    write_json(context.output / "report.json", report)
    write_bytes(context.output / "report.svg", vocabulary_plot({report["kind"]: report["candidates"]}))
    chosen = next(candidate for candidate in report["candidates"] if candidate["chosen"])
    context.progress.note(
        f"  {chosen['size']:,} tokens, {chosen['tokens_per_word']:.3f} a word, "
        f"{chosen['unknown_rate']:.4%} of words unknown"
    )
    if len(report["scripts"]) > 2:  # symbols are one
        for name, row in report["scripts"].items():
            context.progress.note(
                f"    {name}: {row['share']:.1%} of the text, {row['rows']:,} tokens, "
                f"{row['tokens_per_word']:.2f} a word, {row['unknown_rate']:.3%} of words unknown"
            )


def check_vocabulary(recipe: Recipe) -> str:
    """Check before a run that the tokens can be had, and that the smallest size fits its limit of bytes."""
    settings = recipe.vocabulary
    if settings.kind == "teacher" and "embeddings" in recipe.cross_encoder.use and recipe.cross_encoder.model:
        raise InputError(
            'vocabulary.kind = "teacher" takes the tokens of teacher.model, and cross_encoder.use = ["embeddings"] '
            'puts another in its place; choose vocabulary.kind = "wordpiece"'
        )
    if settings.kind == "teacher" and settings.script_smoothing < 1:
        raise InputError(
            'vocabulary.script_smoothing shares rows of kind "wordpiece" or "unigram", not "teacher"; leave it out'
        )
    size, width = least_size(settings), recipe.student.table_rank or recipe.student.hidden
    table = size * width * BYTES_PER_WEIGHT
    if table > settings.max_table_bytes:
        raise InputError(
            f"vocabulary: {size:,} tokens x {width} are a table of {table:,} bytes (estimated, at 8 bits), more than "
            f"max_table_bytes = {settings.max_table_bytes:,}; lower vocabulary.size or candidates, or raise the limit"
        )
    return f"{settings.kind}, {size:,} tokens or more: a table of {table:,} bytes (estimated, at 8 bits)"


def check_teacher_tokens(recipe: Recipe) -> str:
    """Check before a run that the teacher's tokens can be taken over where the recipe asks for them."""
    if recipe.vocabulary.kind != "teacher":
        return "made from the corpus"
    tokens = teacher_tokens(resolve_teacher(recipe.teacher).folder / "tokenizer.json", recipe.vocabulary)
    return f"{len(tokens):,} of the teacher to choose from"


def least_size(settings: VocabularySettings) -> int:
    """Return the smallest size that may be chosen; a small corpus may not fill it."""
    return settings.size or min(settings.candidates)


def make_vocabulary(
    documents: Sequence[str],
    training: Sequence[TrainingText],
    settings: VocabularySettings,
    hidden: int,
    given: Collection[str] = (),
) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of `tokenizer.json` and the report with the table of candidates.

    `hidden` is the width of the student's embedding table, for its bytes. `given` are the tokens to choose among where
    `settings.kind` is "teacher".
    """
    generated = [text.text for text in training if text.role == "query"]
    # Sizes are judged on queries as people write them; where there are none, on generated ones or documents.
    queries = [text.text for text in training if text.kind == "query"] or generated or list(documents)
    counter = WordCounter(settings.lowercase, settings.strip_accents)
    document_words, query_words = counter.count(documents), counter.count(queries)
    words = document_words + counter.count(generated)
    alphabet, dropped = choose_alphabet(words, settings, counter)
    sizes = sorted(set((settings.size,) if settings.size else settings.candidates))
    built: dict[int, tuple[Candidate, bytes]] = {}
    for data in _learn(words, alphabet, sizes, settings, given):
        candidate = measure_candidate(
            data, WordCounts(document_words, len(documents)), WordCounts(query_words, len(queries)), hidden, settings
        )
        built.setdefault(candidate.size, (candidate, data))  # a small corpus may not fill the larger sizes
    best = choose_candidate([candidate for candidate, _ in built.values()], settings)
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
        "scripts": script_figures(built[best.size][1], words, hidden * BYTES_PER_WEIGHT),
        "alphabet": len(alphabet),
        "characters_dropped": dropped,
    }
    return built[best.size][1], report


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
    totals: Counter[str] = Counter()
    for character, count in occurrences.items():
        totals[script(character) if settings.script_smoothing < 1 else ""] += count
    least = {name: max(1.0, settings.min_character_share * total) for name, total in totals.items()}
    ascii_characters = {character for code in range(33, 127) for character in "".join(counter.words(chr(code)))}
    kept = ascii_characters | {
        character
        for character, count in occurrences.items()
        if count >= least[script(character) if settings.script_smoothing < 1 else ""]
    }
    alphabet = set(kept)
    alphabet.update(
        CONTINUATION + character for character in kept if counter.words(f"a{character}") == [f"a{character}"]
    )
    dropped: Counter[str] = Counter()
    for character in sorted(set(occurrences) - kept):
        dropped[script(character)] += occurrences[character]
    return alphabet, dict(sorted(dropped.items()))


def _learn(
    words: Mapping[str, int],
    alphabet: set[str],
    sizes: Sequence[int],
    settings: VocabularySettings,
    given: Collection[str],
) -> Iterator[bytes]:
    if sizes[0] - len(SPECIAL_TOKENS) < len(alphabet):
        raise InputError(
            f"vocabulary: {sizes[0]} tokens do not hold the alphabet of {len(alphabet)} characters; "
            "choose a larger size or a larger min_character_share"
        )
    known = {word: count for word, count in words.items() if len(word) <= MAX_WORD_CHARACTERS}
    room = [size - len(SPECIAL_TOKENS) for size in sizes]
    if settings.kind == "teacher":
        spelled = spellable(known, alphabet)
        learned = {size: prune(spelled, alphabet, given, size) for size in room}
        used = {size: piece_counts(spelled, tokens) for size, tokens in learned.items()}
        learned = {
            size: [token for token in tokens if token in alphabet or token in used[size]]
            for size, tokens in learned.items()
        }
    elif settings.script_smoothing < 1:
        learned = learn_by_script(known, alphabet, room, settings.script_smoothing)
    else:
        learned = learn_pieces(known, alphabet, room)
    for tokens in learned.values():
        if settings.kind == "unigram":
            scored = learn_unigram(spellable(known, alphabet), tokens)
            yield unigram_tokenizer(scored, settings.lowercase, settings.strip_accents)
        else:
            yield wordpiece_tokenizer(tokens, settings.lowercase, settings.strip_accents)


def teacher_tokens(tokenizer_file: Path, settings: VocabularySettings) -> list[str]:
    """Return the tokens of a teacher's WordPiece tokenizer that can occur in a text, without the special tokens.

    Raises `InputError` for a tokenizer of another kind or of another case.
    """
    if not tokenizer_file.is_file():
        raise InputError(f'{tokenizer_file} does not exist; choose vocabulary.kind = "wordpiece"')
    tokenizer = read_json(tokenizer_file)
    model, normalizer = tokenizer.get("model", {}), tokenizer.get("normalizer") or {}
    otherwise = 'so its tokens cannot be taken over; choose vocabulary.kind = "wordpiece"'
    if model.get("type") != "WordPiece" or normalizer.get("type") != "BertNormalizer":
        kinds = f"{model.get('type')} after {normalizer.get('type') or 'no normalizer'}"
        raise InputError(f"{tokenizer_file}: {kinds} is not BERT's WordPiece, {otherwise}")
    if model.get("continuing_subword_prefix") != CONTINUATION:
        raise InputError(f"{tokenizer_file} marks the inside of words in another way, {otherwise}")
    lowercase, accents = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    theirs = {"lowercase": lowercase, "strip_accents": lowercase if accents is None else bool(accents)}
    for name, value in theirs.items():
        if value != getattr(settings, name):
            raise InputError(
                f"{tokenizer_file}: {name} is {value} there and {not value} in vocabulary.{name}; make them the same"
            )
    counter = WordCounter(settings.lowercase, settings.strip_accents)
    bare = {token: token.removeprefix(CONTINUATION) for token in model["vocab"]}
    return [token for token, text in bare.items() if text and counter.words(text) == [text]]
