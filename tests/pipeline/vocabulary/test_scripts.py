"""Rows of the vocabulary for each script, also for those with little text."""

import itertools

import pytest
from builders.languages import TEXTS
from pocketrank.pipeline.settings import Recipe, VocabularySettings
from pocketrank.pipeline.vocabulary.scripts import script, share_rows, word_script
from pocketrank.pipeline.vocabulary.stage import check_vocabulary, make_vocabulary
from pocketrank.runtime.errors import InputError

TIMES = {"de": 200, "fr": 100, "ru": 20}  # German and French are nearly all of the text, the others once or twice
DOCUMENTS = [
    " ".join(words)
    for language, text in TEXTS.items()
    for words in itertools.repeat(text.split(), TIMES.get(language, 2))
]


def scripts(**changes):
    _, report = make_vocabulary(DOCUMENTS, [], VocabularySettings(size=900, **changes), 32)
    return report["scripts"]


def test_small_scripts_keep_rows_where_the_recipe_shares_them():
    together, shared = scripts(min_character_share=1e-4), scripts(min_character_share=1e-4, script_smoothing=0.3)
    small = ("devanagari", "arabic", "thai", "bengali", "kana", "cjk", "hangul")
    assert {name: shared[name]["unknown_rate"] for name in small} == dict.fromkeys(small, 0.0)
    assert any(together[name]["unknown_rate"] > 0.5 for name in small)
    assert shared["latin"]["tokens_per_word"] >= together["latin"]["tokens_per_word"]
    assert sum(row["rows"] for row in shared.values()) <= 900 - 5
    for row in shared.values():
        assert row["table_bytes"] == 32 * row["rows"]
    assert sum(row["share"] for row in shared.values()) == pytest.approx(1, abs=1e-3)


def test_the_smaller_the_power_the_more_rows_have_the_small_scripts():
    rows = [scripts(script_smoothing=power)["cyrillic"]["rows"] for power in (0.9, 0.5, 0.0)]
    assert rows == sorted(rows) and rows[0] < rows[-1]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_the_same_bytes_whatever_the_order_of_the_documents(kind):
    settings = VocabularySettings(kind=kind, size=900, script_smoothing=0.5)
    assert make_vocabulary(DOCUMENTS, [], settings, 32)[0] == make_vocabulary(DOCUMENTS[::-1], [], settings, 32)[0]


def test_rows_that_a_script_cannot_fill_go_to_the_others():
    assert share_rows(100, {"a": 3, "b": 1}, {"a": 0, "b": 0}, {"a": 99, "b": 99}) == {"a": 75, "b": 25}
    assert share_rows(100, {"a": 3, "b": 1}, {"a": 0, "b": 40}, {"a": 99, "b": 99}) == {"a": 60, "b": 40}
    assert share_rows(100, {"a": 3, "b": 1}, {"a": 0, "b": 0}, {"a": 50, "b": 99}) == {"a": 50, "b": 50}
    assert share_rows(100, {"a": 3, "b": 1}, {"a": 0, "b": 0}, {"a": 9, "b": 9}) == {"a": 9, "b": 9}


def test_scripts_have_names():
    names = {"a": "latin", "ж": "cyrillic", "の": "kana", "ー": "kana", "字": "cjk", "한": "hangul", "ि": "devanagari"}
    assert {character: script(character) for character in names} == names
    assert word_script("12-я") == "cyrillic" and word_script("2026") == "symbols"


def test_the_teachers_tokens_are_not_shared_out():
    recipe = Recipe("r", vocabulary=VocabularySettings(kind="teacher", script_smoothing=0.5))
    with pytest.raises(InputError, match="script_smoothing"):
        check_vocabulary(recipe)
