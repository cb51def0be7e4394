"""Generated queries whose words a library finds, in scripts without spaces."""

import random

import pytest
from pocketrank.pipeline.queries.generators import FINDERS, crops, keywords
from pocketrank.pipeline.queries.stage import check_queries
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.settings import QueriesSettings, Recipe
from pocketrank.runtime.errors import UnavailableError

FIND = FINDERS["budoux"]
# a text, some of its words in order, and keywords that stand in it without the grammar behind them
TEXTS = {
    "ja": (
        "検索エンジンを使って、文書のベクトルを比較する方法。",
        ["検索エンジンを", "比較する"],
        ["検索エンジン", "ベクトル", "比較"],
    ),
    "zh": (
        "如何使用向量检索系统来比较两个文档的相似度。",
        ["使用", "向量", "检索", "文档"],
        ["使用", "向量", "检索", "文档"],
    ),
    "th": ("วิธีใช้ระบบค้นหาเอกสารด้วยเวกเตอร์ในภาษาไทย", ["ระบบ", "เวกเตอร์", "ภาษาไทย"], ["ระบบ", "เวกเตอร์"]),
}


@pytest.mark.parametrize("language", TEXTS)
def test_crops_and_keywords_are_words(language):
    pytest.importorskip("budoux")
    text, words, best = TEXTS[language]
    found = FIND.pieces(text)
    assert "".join(found).strip() == text
    assert [word for word in map(str.strip, found) if word in words] == words
    assert set(best) <= set(FIND.keywords(text))
    assert all(len(word) > 1 and word in text for word in FIND.keywords(text))
    data = RetrievalSet({"d": text}, {}, {}, {})
    ends = {len("".join(found[:count]).strip()) for count in range(len(found) + 1)}
    for crop in crops(data, 20, random.Random(1), FIND):
        assert text.index(crop) in ends and text.index(crop) + len(crop) in ends
    for query in keywords(data, 3, random.Random(2), FIND):
        assert set(query.split()) <= set(FIND.keywords(text))


def test_other_scripts_and_words_between_stay_as_they_are():
    pytest.importorskip("budoux")
    plain = FINDERS["pieces"]
    for text in ("Read 2 files, then stop.", "Удаляет файл навсегда", "ລົບໄຟລ໌"):
        assert FIND.pieces(text) == plain.pieces(text) and FIND.keywords(text) == plain.keywords(text)
    assert "api" in FIND.keywords("检索 API 系统") and FIND.pieces("检索 API")[-1] == " API"


def test_the_library_is_asked_for_before_a_run(monkeypatch):
    monkeypatch.setattr("pocketrank.runtime.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"needs the package budoux; run: pip install 'pocketrank\[segment\]'"):
        check_queries(Recipe("test", queries=QueriesSettings(words="budoux")))
    check_queries(Recipe("test"))
