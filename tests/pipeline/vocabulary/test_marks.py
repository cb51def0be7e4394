"""Marks are letters in most of the world's scripts: they stay, unless a recipe drops accents."""

import unicodedata

import pytest
from builders.languages import TEXTS
from pocketrank.export.bundle.tokenizer import compact_tokenizer
from pocketrank.pipeline.settings import VocabularySettings
from pocketrank.pipeline.vocabulary.stage import make_vocabulary
from pocketrank.pipeline.vocabulary.tokenizer_file import WordCounter, wordpiece_tokenizer
from pocketrank.runtime.text.tokenizer_file import TextTokenizer
from tokenizers import Tokenizer


def settings(**changes):
    return VocabularySettings(**{"size": 2000, "min_character_share": 0.0, **changes})


@pytest.fixture(scope="module", params=["wordpiece", "unigram"])
def data(request):
    made, _ = make_vocabulary(list(TEXTS.values()) * 2, [], settings(kind=request.param), 32)
    return compact_tokenizer(made)


@pytest.mark.parametrize("language", TEXTS)
def test_words_come_back_whole_from_their_tokens(data, language):
    opened = Tokenizer.from_buffer(data)
    unknown = opened.token_to_id("[UNK]")
    for word in TEXTS[language].split():
        ids = opened.encode(word, add_special_tokens=False).ids
        assert unknown not in ids
        assert opened.decode(ids).replace(" ", "") == unicodedata.normalize("NFKC", word).lower()


def test_the_device_opens_it_and_knows_all_words(data, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(data)
    unknown, words = TextTokenizer(tmp_path / "tokenizer.json", 64).unknown_words(list(TEXTS.values()))
    assert unknown == 0 and words > 150


def test_composed_and_decomposed_letters_are_the_same_words(data):
    opened = Tokenizer.from_buffer(data)
    for text in TEXTS.values():
        forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKD"))
        assert len({tuple(opened.encode(form).ids) for form in forms}) == 1


def test_words_that_differ_in_a_mark_are_different_words_unless_accents_are_dropped():
    pairs = [("はは", "ばば"), ("मिल", "माल"), ("ตา", "ต่ำ"), ("কাল", "কুল"), ("pêche", "péché"), ("má", "mà")]
    kept, dropped = (WordCounter(lowercase=True, strip_accents=strip) for strip in (False, True))
    for one, other in pairs:
        assert kept.words(one) != kept.words(other)
    assert dropped.words("pêche") == dropped.words("péché") == dropped.words("peche")
    assert kept.words("Tromsø İzmir Straße") == ["tromsø", "izmir", "straße"]


def test_breaks_without_width_part_words_and_styles_of_emoji_are_one():
    counter = WordCounter(lowercase=True, strip_accents=False)
    assert counter.words("ភាសា\u200bខ្មែរ") == counter.words("ភាសា ខ្មែរ")
    assert counter.words("☺\ufe0f a") == counter.words("☺ a")


def test_a_clause_without_spaces_is_not_unknown():
    clause = "การเรียนรู้ของเครื่องช่วยให้คอมพิวเตอร์ค้นหารูปแบบจากข้อมูลได้โดยอัตโนมัติและรวดเร็วกว่าที่มนุษย์จะทำได้ด้วยตนเองเสมอไป"
    assert 100 < len(WordCounter(lowercase=True, strip_accents=False).words(clause)[0]) <= 200
    made, _ = make_vocabulary([clause] * 2, [], settings(size=400), 32)
    opened = Tokenizer.from_buffer(made)
    assert opened.token_to_id("[UNK]") not in opened.encode(clause).ids


def test_a_vocabulary_that_drops_accents_says_what_it_always_said():
    before = (
        '{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}'
    )
    for strip in (True, False):
        text = wordpiece_tokenizer(["a"], True, strip).decode()
        assert (before in text) == strip and ('"max_input_chars_per_word":100' in text) == strip
