"""Generated queries in scripts of every kind: sentences, crops and keywords of texts that are not English."""

import random

import pytest
from pocketrank.pipeline.corpus.text_files import read_texts
from pocketrank.pipeline.queries.generators import crops, keywords, sentences
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.retrieval.segmentation import keyword_candidates, pieces
from pocketrank.pipeline.settings import CorpusSettings

# language -> its first sentence, the second, and a keyword
TEXTS = {
    "de": ("Löscht eine Datei für immer.", "Zeigt den Ordner danach nicht.", "löscht"),
    "fr": ("Supprime le fichier à jamais.", "Le dossier reste où il était.", "supprime"),
    "es": ("¿Cómo se borra un archivo?", "La carpeta no se borra así.", "archivo"),
    "pt": ("Apaga o arquivo para sempre.", "A configuração não é apagada.", "configuração"),
    "it": ("Cancella il file per sempre.", "La cartella è ancora lì.", "cartella"),
    "ru": ("Удаляет файл навсегда и сразу.", "Каталог остаётся на своём месте.", "каталог"),
    "zh": ("永远删除一个文件。", "目录仍然留在原来的位置。", "删除"),
    "ja": ("ファイルを永久に削除する。", "フォルダは元の場所に残る。", "ファイル"),
    "ko": ("파일을 영원히 삭제 합니다.", "폴더는 그 자리에 남습니다.", "파일을"),
    "hi": ("फ़ाइल को हमेशा के लिए मिटाता है।", "फ़ोल्डर अपनी जगह पर रहता है।", "फ़ोल्डर"),
    "ar": ("هل يحذف الملف إلى الأبد؟", "يبقى المجلد في مكانه.", "المجلد"),
    "th": ("ลบไฟล์อย่างถาวรทันที", "โฟลเดอร์ยังอยู่ที่เดิม", "ถาวร"),
    "bn": ("ফাইল চিরতরে মুছে ফেলে।", "ফোল্ডার নিজের জায়গায় থাকে।", "ফোল্ডার"),
    "vi": ("Xóa tệp vĩnh viễn ngay lập tức.", "Thư mục vẫn ở chỗ cũ.", "vĩnh"),
}


@pytest.mark.parametrize("language", TEXTS)
def test_queries_are_made_in_every_language(language):
    first, second, keyword = TEXTS[language]
    between = "" if language in ("zh", "ja") else " "
    text = f"{first}{between}{second}"
    data = RetrievalSet({"d": text}, {}, {}, {})
    assert list(sentences(data, 9, random.Random(0))) == [first, second]
    found = list(crops(data, 20, random.Random(1)))
    assert len(found) == 20 and all(crop and crop in text for crop in found)
    assert keyword in keyword_candidates(text)
    assert list(keywords(data, 3, random.Random(2)))
    assert "".join(pieces(text)).strip() == text


@pytest.mark.parametrize("language", TEXTS)
def test_the_first_sentence_of_a_text_becomes_a_test_query(language, tmp_path):
    first, second, _ = TEXTS[language]
    between = "" if language in ("zh", "ja") else " "
    (tmp_path / "texts.txt").write_text(between.join((first, *[second] * 4)) + "\n", encoding="utf-8")
    found, _ = read_texts(CorpusSettings(source="texts", path=str(tmp_path)))
    assert list(found.queries.values()) == [first]
