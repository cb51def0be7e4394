# ruff: noqa: RUF001
"""The tokenizer in C gives the ids of the `tokenizers` library, on every character and on fuzzed texts."""

import json
import random

import pytest
from pocketrank.export.check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES
from pocketrank.pipeline.vocabulary.tokenizer_file import unigram_tokenizer, wordpiece_tokenizer
from pocketrank.runtime.errors import UnavailableError, VerificationError
from pocketrank.runtime.golden import read_golden
from pocketrank.runtime.native.binding import NativeTokenizer, library
from pocketrank.runtime.packaged import MODELS
from pocketrank.runtime.text.tokenizer_file import TextTokenizer

BUNDLE = MODELS / "general-english" / "bundle"
CODES = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x30000), *range(0xE0000, 0xE0200)]
# Where characters change one another: accents, marks of Hebrew, Arabic and Hindi, parts and syllables of Korean.
JOINING = [(0xC0, 0x180), (0x300, 0x370), (0x591, 0x5C8), (0x64B, 0x670), (0x900, 0xA00), (0x1100, 0x1200)]
JOINING += [(0x1E00, 0x2000), (0xAC00, 0xAC80), (0x1D15E, 0x1D1C0)]


@pytest.fixture
def opened(native_library):
    return NativeTokenizer


def fuzzed(count):
    drawn = random.Random(7)
    ascii_codes, joining = range(1, 127), [code for start, end in JOINING for code in range(start, end)]
    pools = (ascii_codes, joining, [*ascii_codes, *joining], CODES)
    for _ in range(count):
        pool = drawn.choice(pools)
        yield "".join(chr(drawn.choice(pool)) for _ in range(drawn.randrange(60)))


def differing(native_tokenizer, texts):
    expected = TextTokenizer(native_tokenizer.path, native_tokenizer.max_length).ids(texts)
    found = native_tokenizer.ids(texts)
    return [text for text, one, two in zip(texts, expected, found, strict=True) if one != two]


def test_every_character_and_every_golden_text_of_the_general_student(opened):
    tokenizer, golden = opened(BUNDLE / "tokenizer.json", 256), read_golden(BUNDLE / "golden.json")
    assert [tuple(row) for row in tokenizer.ids(golden.texts)] == list(golden.ids)
    texts = [*TOKENIZER_EDGE_CASES, *(f"a{chr(code)}b" for code in CODES), *fuzzed(3_000)]
    assert differing(tokenizer, texts) == []


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip", [True, False])
def test_both_models_with_every_setting(opened, tmp_path, lowercase, strip):
    letters = [
        *(chr(code) for code in range(33, 127) if lowercase <= (not chr(code).isupper())),
        *"€°½æøßłабвгд中あ👍×→əéईिंกำか\u3099가",
    ]
    marked = [(f"▁{letter}", -3.0 - row / 50) for row, letter in enumerate(letters)]
    inner = [(letter, -4.0 - row / 50) for row, letter in enumerate(letters)]
    made = (
        wordpiece_tokenizer([*letters, *(f"##{letter}" for letter in letters)], lowercase, strip),
        unigram_tokenizer([*marked, *inner, ("▁", -2.5), ("ab", -4.5), ("▁abc", -5.0)], lowercase, strip),
    )
    texts = [*TOKENIZER_EDGE_CASES, *("".join(map(chr, CODES[start::997])) for start in range(997)), *fuzzed(1_500)]
    for data in made:
        path = tmp_path / "tokenizer.json"
        path.write_bytes(data)
        assert differing(opened(path, 64), texts) == []


def test_words_that_the_vocabulary_lacks_are_counted_alike(opened):
    path, texts = BUNDLE / "tokenizer.json", ["plain words", "漢字 ⠿ and ⠿⠿", "", "[UNK] [SEP]"]
    assert opened(path, 64).unknown_words(texts) == TextTokenizer(path, 64).unknown_words(texts)


def test_long_texts_are_cut_as_elsewhere(opened):
    tokenizer = opened(BUNDLE / "tokenizer.json", 16)
    texts = ["a" * 5_000, "a " * 5_000, " " * (16 * 128 - 1) + "a b", "[SEP]" * 100, "é" * 3_000, "\ud800 a", "中" * 99]
    assert differing(tokenizer, texts) == []


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel"}},
        {"post_processor": {"type": "ByteLevel"}},
        {"model": {"type": "BPE", "vocab": {}, "merges": []}},
        {"model": None},
        {"surprise": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_parts_that_are_not_known_are_refused(opened, tmp_path, change):
    content = json.loads((BUNDLE / "tokenizer.json").read_text("utf-8"))
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**content, **change}), "utf-8")
    with pytest.raises(VerificationError, match=r"tokenizer\.json.*; fetch or build the bundle again"):
        opened(path, 64)


def test_damaged_files_are_refused_or_read_but_never_left(opened, tmp_path):
    content = json.loads((BUNDLE / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"] = {piece: id for id, piece in enumerate([*content["model"]["vocab"]][:99])}
    data, path, drawn = json.dumps(content).encode(), tmp_path / "tokenizer.json", random.Random(3)
    refused = 0
    for attempt in range(400):
        damaged = bytearray(data)
        for _ in range(drawn.randrange(1, 4)):
            damaged[drawn.randrange(len(damaged))] = drawn.choice(b'{}[]",:\\0a\xff')
        path.write_bytes(damaged[: drawn.randrange(len(damaged))] if attempt % 2 else damaged)
        try:
            tokenizer = opened(path, 16)
            assert all(len(ids) <= 16 for ids in tokenizer.ids(["a b [SEP] c", "é\u0301"]))
        except VerificationError:
            refused += 1
    assert refused > 200


def test_without_the_library_it_is_said_how_to_build_it(tmp_path):
    with pytest.raises(UnavailableError, match="make native"):
        library(str(tmp_path / "libpocketrank.so"))
