import itertools
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from pocketrank.pipeline.fingerprint import vocabulary_fingerprint
from pocketrank.pipeline.queries.training_texts import TrainingText
from pocketrank.pipeline.settings import Recipe, TeacherSettings, VocabularySettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.vocabulary.stage import make_vocabulary, teacher_tokens
from pocketrank.pipeline.vocabulary.tokenizer_file import SPECIAL_TOKENS
from pocketrank.pipeline.vocabulary.unigram import best_cut
from pocketrank.pipeline.vocabulary.wordpiece import cut_word, learn_pieces, merge_pairs, piece_counts
from pocketrank.runtime.errors import InputError
from tokenizers import Tokenizer

WORDS = (
    "sort",
    "sorted",
    "sorting",
    "sorts",
    "merge",
    "merged",
    "merging",
    "merges",
    "list",
    "lists",
    "listing",
    "array",
    "arrays",
    "index",
    "indexes",
    "indexed",
    "indexing",
    "value",
    "values",
    "return",
    "returns",
    "returned",
    "returning",
    "compute",
    "computed",
    "computes",
    "computing",
)
DOCUMENTS = [
    f"{first} the {second}, and {third}_{first} = {second}({position}); naïve λ-{third}!"
    for position, (first, second, third) in enumerate(
        (WORDS[a], WORDS[(a * 7 + b) % len(WORDS)], WORDS[(a + b * 5) % len(WORDS)])
        for a in range(len(WORDS))
        for b in range(12)
    )
]
TRAINING = [TrainingText(f"{word} a list of values", "query", "query") for word in WORDS]
KINDS = ("wordpiece", "unigram")


def make(kind="wordpiece", **changes):
    settings = VocabularySettings(**{"kind": kind, "candidates": (160, 200), "max_table_bytes": 10_000, **changes})
    data, report = make_vocabulary(DOCUMENTS, TRAINING, settings, 32)
    return data, report, Tokenizer.from_buffer(data)


@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_in_another_process_with_another_hash_seed(kind):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_vocabulary import make; "
        "sys.stdout.buffer.write(make(sys.argv[2])[0])"
    )
    outputs = set()
    for seed in ("1", "99"):
        command = [sys.executable, "-c", code, os.path.dirname(__file__), kind]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        outputs.add(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert outputs == {make(kind)[0]}


@pytest.mark.parametrize("kind", KINDS)
def test_layout_of_the_tokenizer(kind):
    data, report, tokenizer = make(kind)
    content = json.loads(data)
    assert [tokenizer.id_to_token(number) for number in range(5)] == list(SPECIAL_TOKENS)
    assert content["truncation"] is None and content["padding"] is None
    chosen = next(row for row in report["candidates"] if row["chosen"])
    assert tokenizer.get_vocab_size() == chosen["size"]
    assert sorted(tokenizer.get_vocab().values()) == list(range(chosen["size"]))
    encoding = tokenizer.encode("Sorting LISTS")
    assert encoding.tokens[0] == "[CLS]" and encoding.tokens[-1] == "[SEP]"
    assert tokenizer.encode("").ids == [2, 3]
    assert tokenizer.decode(tokenizer.encode("sorted lists").ids) == "sorted lists"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_no_printable_ascii_character_is_unknown_at_any_place(kind, lowercase):
    _, _, tokenizer = make(kind, lowercase=lowercase, candidates=(260,))
    unknown = tokenizer.token_to_id("[UNK]")
    for code in range(33, 127):
        character = chr(code)
        for text in (character, f"a{character}", f"{character}a", f"z{character}z", f"9{character}9"):
            assert unknown not in tokenizer.encode(text).ids, text


def test_rare_characters_are_dropped_and_reported_and_frequent_ones_kept():
    _, report, tokenizer = make()
    assert report["characters_dropped"] == {}
    assert tokenizer.token_to_id("λ") is not None
    _, report, tokenizer = make(min_character_share=0.05)
    assert report["characters_dropped"] == {"greek": len(DOCUMENTS), "latin": len(DOCUMENTS)}  # λ and the ï of naïve
    assert tokenizer.token_to_id("λ") is None and tokenizer.token_to_id(",") is not None


def test_report_counts_what_the_tokenizer_does():
    _, report, tokenizer = make()
    row = next(row for row in report["candidates"] if row["chosen"])
    lengths = [len(tokenizer.encode(text.text).ids) for text in TRAINING]
    assert row["tokens_per_query"] == pytest.approx(sum(lengths) / len(lengths), abs=1e-3)
    lengths = [len(tokenizer.encode(text).ids) for text in DOCUMENTS]
    assert row["tokens_per_document"] == pytest.approx(sum(lengths) / len(lengths), abs=1e-3)
    assert row["table_bytes"] == row["size"] * 32


def test_larger_candidates_split_less_and_the_smallest_score_is_chosen():
    _, report, _ = make(candidates=(115, 130, 160, 190))
    rows = report["candidates"]
    assert [row["tokens_per_word"] for row in rows] == sorted((row["tokens_per_word"] for row in rows), reverse=True)
    assert rows[0]["tokens_per_word"] > rows[-1]["tokens_per_word"]
    assert [row["chosen"] for row in rows] == [row["score"] == min(other["score"] for other in rows) for row in rows]


def test_the_byte_budget_binds():
    _, report, _ = make(candidates=(115, 190), max_table_bytes=32 * 150)
    assert [row["fits"] for row in report["candidates"]] == [True, False]
    assert [row["chosen"] for row in report["candidates"]] == [True, False]
    with pytest.raises(InputError, match="no candidate fits max_table_bytes"):
        make(max_table_bytes=100)


def test_a_fixed_size_is_taken_and_a_size_below_the_alphabet_refused():
    _, report, tokenizer = make(size=140)
    assert tokenizer.get_vocab_size() == 140 and report["rule"]["why"] == "set in the recipe"
    with pytest.raises(InputError, match="alphabet"):
        make(size=40)


def test_candidates_that_the_corpus_cannot_fill_collapse():
    _, report, tokenizer = make(candidates=(5000, 6000), max_table_bytes=1_000_000)
    assert len(report["candidates"]) == 1 and tokenizer.get_vocab_size() < 1000


def reference_merges(counts: dict[str, int], rounds: int) -> list[str]:
    """Return pieces by counting all pairs again before every merge: slow, and plainly right."""
    words = {word: [word[0], *("##" + letter for letter in word[1:])] for word in counts}
    pieces = []
    for _ in range(rounds):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for pair in itertools.pairwise(symbols):
                pairs[pair] += counts[word]
        pair, count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        if count < 2:
            break
        piece = pair[0] + pair[1].removeprefix("##")
        for symbols in words.values():
            place = 0
            while place + 1 < len(symbols):
                if (symbols[place], symbols[place + 1]) == pair:
                    symbols[place : place + 2] = [piece]
                place += 1
        if piece not in pieces:
            pieces.append(piece)
    return pieces


def test_merges_are_those_of_counting_again_each_time():
    counts = {word: 3 + place * 5 % 11 for place, word in enumerate(WORDS)} | {"aaaaa": 9, "banana": 7, "anan": 4}
    alphabet = {symbol for word in counts for symbol in (word[0], *("##" + letter for letter in word[1:]))}
    expected = reference_merges(counts, 60)
    found = merge_pairs(counts, alphabet, len(alphabet) + len(expected))
    assert len(found) >= 50 and found == expected[: len(found)]


def test_pruning_uses_rows_better_than_merges_alone():
    counts = Counter(word for text in DOCUMENTS for word in text.replace(",", " ").split() if word.isalpha())
    alphabet = {symbol for word in counts for symbol in (word[0], *("##" + letter for letter in word[1:]))}
    size = len(alphabet) + 25
    plain = piece_counts(counts, alphabet | set(merge_pairs(counts, alphabet, size))).total()
    pruned = piece_counts(counts, learn_pieces(counts, alphabet, [size])[size]).total()
    assert pruned < plain


def test_longest_match_is_that_of_the_tokenizer():
    _, _, tokenizer = make()
    vocabulary = set(tokenizer.get_vocab()) - set(SPECIAL_TOKENS)
    for word in (*WORDS, "resorting", "listless", "x", "λ"):
        assert cut_word(word, vocabulary, 100) == tokenizer.encode(word, add_special_tokens=False).tokens


def test_best_cut_maximises_the_sum_of_scores():
    scores = {"▁a": -1.0, "b": -1.0, "▁ab": -3.0, "c": -1.0, "bc": -1.5}
    assert best_cut("▁abc", scores, 3) == ["▁a", "bc"]
    assert best_cut("▁abx", scores, 3) == []


def test_the_teachers_tokens_that_the_corpus_uses():
    tokenizer_file = resolve_teacher(TeacherSettings()).folder / "tokenizer.json"
    settings = VocabularySettings(kind="teacher", size=800, strip_accents=True, max_table_bytes=30_000)
    pieces = teacher_tokens(tokenizer_file, settings)
    data, report = make_vocabulary(DOCUMENTS, TRAINING, settings, 32, pieces)
    again, _ = make_vocabulary(DOCUMENTS, TRAINING, settings, 32, list(reversed(pieces)))
    assert data == again and report["kind"] == "teacher"
    own, teachers = Tokenizer.from_buffer(data), Tokenizer.from_file(str(tokenizer_file))
    assert own.get_vocab_size() < 800  # no row for a piece that no text uses
    # Every word is cut as the teacher cuts it: there is room for all pieces that the corpus uses.
    for text in (*DOCUMENTS, *WORDS):
        assert own.encode(text).tokens == [piece for piece in teachers.encode(text).tokens if piece != "[PAD]"]
    assert own.token_to_id("hospital") is None and teachers.token_to_id("hospital") is not None


def test_tokens_are_taken_from_a_wordpiece_tokenizer_of_the_same_case_only(tmp_path):
    tokenizer_file = resolve_teacher(TeacherSettings()).folder / "tokenizer.json"
    with pytest.raises(InputError, match="lowercase is True there and False"):
        teacher_tokens(tokenizer_file, VocabularySettings(kind="teacher", lowercase=False))
    with pytest.raises(InputError, match="strip_accents is True there and False in"):
        teacher_tokens(tokenizer_file, VocabularySettings(kind="teacher"))
    other = tmp_path / "tokenizer.json"
    other.write_bytes(make("unigram")[0])
    with pytest.raises(InputError, match="Unigram"):
        teacher_tokens(other, VocabularySettings(kind="teacher"))
    with pytest.raises(InputError, match="does not exist"):
        teacher_tokens(tmp_path / "none.json", VocabularySettings(kind="teacher"))


def test_the_key_of_the_stage_depends_on_the_teacher_where_its_tokens_are_taken(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    recipes = [
        Recipe("r", vocabulary=VocabularySettings(kind=kind), teacher=TeacherSettings(model=str(tmp_path)))
        for kind in ("teacher", "wordpiece")
    ]
    first = [vocabulary_fingerprint(recipe) for recipe in recipes]
    (tmp_path / "tokenizer.json").write_text("[]")
    second = [vocabulary_fingerprint(recipe) for recipe in recipes]
    assert first[0] != second[0] and first[1] == second[1] == {}
