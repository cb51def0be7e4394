# ruff: noqa: RUF001
"""Rare forms of letters are read as the usual ones, by every opener, because the tokenizer's file says so."""

import json
import shutil
import subprocess

import pytest
from builders.tiny_recipe import REPOSITORY
from pocketrank.export.bundle.tokenizer import compact_tokenizer
from pocketrank.export.check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES
from pocketrank.pipeline.settings import VocabularySettings
from pocketrank.pipeline.vocabulary.stage import make_vocabulary
from pocketrank.pipeline.vocabulary.tokenizer_file import (
    LETTERS,
    SIGNS,
    WordCounter,
    unigram_tokenizer,
    wordpiece_tokenizer,
)
from pocketrank.runtime.packaged import MODELS
from tokenizers import Tokenizer

PLAIN = (
    "define the official workflow; open the file. A trip to lodz, first-class ticket: encyclopaedia of birds. "
    "The ferry to tromso, hauptstrasse 5. It's -5 degrees on 10 m2 and 1/2 of it; strange oeuvre, the thing's \"end\". "
)
PAIRS = {
    "ligatures of a PDF": ("define the official workflow", "deﬁne the ofﬁcial workﬂow"),
    "full width": ("open the file", "ｏｐｅｎ　ｔｈｅ　ｆｉｌｅ"),
    "polish": ("trip to lodz", "trip to Łódź"),
    "non-breaking hyphen": ("first-class ticket", "first‑class ticket"),
    "soft hyphen": ("first-class ticket", "fi\u00adrst-class tic\u00adket"),
    "ae": ("encyclopaedia of birds", "encyclopædia of birds"),
    "danish": ("ferry to tromso", "ferry to Tromsø"),
    "german": ("hauptstrasse", "Hauptstraße"),
    "minus": ("-5 degrees", "−5 degrees"),
    "superscript": ("10 m2", "10 m²"),
    "fraction": ("1/2 of it", "½ of it"),
    "quotes": ('it\'s the "end"', "it’s the “end”"),
    "long s and oe": ("strange oeuvre", "ſtrange œuvre"),
    "decomposed": ("lodz", "ło\u0301dz\u0301"),
    "trade mark": ("ticket open", "ticket™ open"),
    "no-break space": ("open the file", "open\u00a0the\u202ffile"),
    "dashes": ("first - class", "first – class"),
}


def tokenizers(lowercase=True):
    for kind in ("wordpiece", "unigram"):
        settings = VocabularySettings(
            kind=kind, size=260, lowercase=lowercase, strip_accents=lowercase, min_character_share=0.0
        )
        data, _ = make_vocabulary([PLAIN] * 3, [], settings, 32)
        yield compact_tokenizer(data)


@pytest.mark.parametrize("name", PAIRS)
def test_odd_forms_give_the_ids_of_the_plain_ones(name):
    plain, odd = PAIRS[name]
    for data in tokenizers():
        opened = Tokenizer.from_buffer(data)
        ids = opened.encode(odd).ids
        assert ids == opened.encode(plain).ids
        assert opened.token_to_id("[UNK]") not in ids


@pytest.mark.parametrize("symbol", "€£¥°×±≥→©®👍☺∑")
def test_a_symbol_costs_no_more_than_itself(symbol):
    for data in tokenizers():
        opened = Tokenizer.from_buffer(data)
        unknown = opened.token_to_id("[UNK]")
        for text in (f"open{symbol}file", f"{symbol}open", f"file{symbol}"):
            ids = opened.encode(text).ids
            assert ids.count(unknown) <= 1
            assert [token for token in ids if token != unknown] == opened.encode(text.replace(symbol, " ")).ids


def test_what_is_folded_holds_for_the_counts_of_words_too():
    counter = WordCounter(lowercase=True, strip_accents=True)
    for plain, odd in PAIRS.values():
        assert counter.words(odd) == counter.words(plain)
    for plain, forms in (SIGNS | LETTERS).items():
        assert all(counter.words(form) == counter.words(plain) for form in forms)


def test_with_capitals_letters_keep_their_accents():
    counter = WordCounter(lowercase=False, strip_accents=False)
    assert counter.words("Straße in Łódź, deﬁne 10 m²") == ["Straße", "in", "Łódź", ",", "define", "10", "m2"]


def test_ascii_is_read_as_before():
    ours = WordCounter(lowercase=True, strip_accents=True)
    bert = Tokenizer.from_file(str(MODELS / "general-english/bundle/tokenizer.json"))
    for text in [*filter(str.isascii, TOKENIZER_EDGE_CASES), PLAIN, *(f"a{chr(code)}b" for code in range(128))]:
        words = bert.pre_tokenizer.pre_tokenize_str(bert.normalizer.normalize_str(text))
        assert ours.words(text) == [word for word, _ in words]


@pytest.mark.parametrize(("lowercase", "strip"), [(True, True), (True, False), (False, False), (False, True)])
def test_the_tokenizer_of_the_page_reads_the_same(tmp_path, lowercase, strip):
    """On every character of the planes that have any."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is missing; install it: apt-get install nodejs npm")
    letters = [
        *(chr(code) for code in range(33, 127) if lowercase <= (not chr(code).isupper())),
        *"€°½æøßłабвгд中あ👍×→əéईिंกำか\u3099가",
    ]
    codes = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x30000), *range(0xE0000, 0xE0200)]
    texts = [*TOKENIZER_EDGE_CASES, *(text for pair in PAIRS.values() for text in pair)]
    words = [f"a{chr(code)}b" for code in codes]
    texts += [" ".join(words[start : start + 32]) for start in range(0, len(words), 32)]
    texts += ["".join(map(chr, codes[start::997])) for start in range(997)]
    marked = [(f"▁{letter}", -3.0 - row / 50) for row, letter in enumerate(letters)]
    inner = [(letter, -4.0 - row / 50) for row, letter in enumerate(letters)]
    made = (
        wordpiece_tokenizer([*letters, *(f"##{letter}" for letter in letters)], lowercase, strip),
        unigram_tokenizer([*marked, *inner, ("▁", -2.5)], lowercase, strip),
    )
    for data in made:
        path = tmp_path / "tokenizer.json"
        path.write_bytes(data)
        opened = Tokenizer.from_file(str(path))
        for length, asked in ((1024, texts), (16, TOKENIZER_EDGE_CASES)):
            command = [node, REPOSITORY / "tests" / "openers" / "page_tokenizer.mjs", path, str(length)]
            done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
            opened.enable_truncation(length)
            expected = [encoding.ids for encoding in opened.encode_batch_fast(asked)]
            found = json.loads(done.stdout)
            assert [text for text, one, two in zip(asked, found, expected, strict=True) if one != two] == []
