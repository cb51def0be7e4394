"""BM25 in other languages than English: words by script, stop words by language, indexes that say which."""

import pytest
from builders.miniature import write_bundle
from pocketrank.pipeline.retrieval.bm25 import bm25_rows
from pocketrank.runtime.corpus import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.search.bm25 import Bm25Index, collection_language
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.words import words

pytest.importorskip("bm25s")

# language -> (stop words used, three documents, a query for the second)
TEXTS = {
    "en": (
        "en",
        ("Lists the files in a folder", "Deletes a file for ever", "Shows the time of the day"),
        "delete deletes",
    ),
    "de": (
        "de",
        ("Zeigt die Dateien in einem Ordner", "Löscht die Datei für immer", "Nennt die Uhrzeit und den Tag"),
        "Datei löscht",
    ),
    "fr": (
        "fr",
        (
            "Affiche les fichiers dans un dossier",
            "Supprime le fichier pour toujours et à jamais",
            "Donne l'heure et la date du jour",
        ),
        "supprime",
    ),
    "es": (
        "es",
        ("Muestra los archivos de la carpeta", "Borra el archivo para siempre", "Dice la hora y el día que es"),
        "borra",
    ),
    "pt": (
        "pt",
        (
            "Mostra os arquivos em uma pasta",
            "Apaga o arquivo para sempre e não pergunta",
            "Diz as horas e o dia em São Paulo",
        ),
        "apaga",
    ),
    "it": (
        "it",
        (
            "Mostra i file nella cartella",
            "Cancella il file per sempre e non chiede",
            "Dice l'ora e il giorno della settimana",
        ),
        "cancella",
    ),
    "ru": (
        "ru",
        (
            "Показывает файлы в каталоге и их размер",
            "Удаляет файл навсегда и без вопросов",
            "Говорит, который сейчас час",
        ),
        "удаляет",
    ),
    "zh": ("zh", ("列出目录里的文件", "永远删除一个文件", "显示现在的时间"), "删除"),
    "ko": ("ko", ("폴더의 파일을 보여 줍니다", "파일을 영원히 삭제 합니다", "지금 시간을 알려 줍니다"), "삭제"),
    "ja": ("none", ("フォルダの中のファイルを表示する", "ファイルを永久に削除する", "現在の時刻を示す"), "削除"),
    "hi": ("none", ("फ़ोल्डर की फ़ाइलें दिखाता है", "फ़ाइल को हमेशा के लिए मिटाता है", "अभी का समय बताता है"), "मिटाता"),
    "ar": ("none", ("يعرض الملفات في المجلد", "يحذف الملف إلى الأبد", "يعرض الوقت الآن"), "يحذف"),
    "th": ("none", ("แสดงไฟล์ในโฟลเดอร์", "ลบไฟล์ตลอดไปทันที", "บอกเวลาตอนนี้"), "ตลอดไป"),
    "bn": ("none", ("ফোল্ডারের ফাইল দেখায়", "ফাইল চিরতরে মুছে ফেলে", "এখন সময় বলে"), "মুছে"),
    "vi": ("none", ("Liệt kê các tệp trong thư mục", "Xóa tệp vĩnh viễn", "Hiển thị thời gian hiện tại"), "xóa vĩnh"),
}


@pytest.mark.parametrize("language", TEXTS)
def test_the_words_and_stop_words_follow_the_language(language):
    stop_words, documents, query = TEXTS[language]
    assert collection_language(documents) == stop_words
    (scores,) = bm25_rows(documents, [query])
    assert scores[1] > 0 and scores[0] == scores[2] == 0


def test_marks_and_neighbouring_characters_make_words():
    assert words("हिन्दी में") == ["हिन्दी", "में"]
    assert words("向量 检索库 a x1") == ["向量", "检索", "索库", "x1"]
    assert words("ガギ") == ["ガギ"]  # half width as full width
    assert words("ที่นี่") == ["ที่นี่"]
    assert words("cafe\u0301") == words("Café") == ["café"]


def test_english_with_few_foreign_texts_and_names_alone_stay_english():
    assert collection_language(["The file is not in the folder"] * 8 + ["列出目录里的文件"] * 2) == "en"
    assert collection_language(["ACME 3000 XL", "de luxe 12"]) == "en"
    assert collection_language([]) == "en"


def test_a_collection_of_several_languages_has_no_stop_words():
    assert collection_language([text for _, documents, _ in TEXTS.values() for text in documents]) == "none"


def test_an_index_says_its_language_and_searches_by_it(tmp_path):
    texts = TEXTS["zh"][1]
    encoder = Encoder.open(write_bundle(tmp_path / "bundle"))
    documents = [Document(f"d{number}", "", text) for number, text in enumerate(texts)]
    index = DocumentIndex.open(build_index(encoder, documents, tmp_path / "index", hybrid=True))
    assert index.manifest.bm25 is not None and index.manifest.bm25.stop_words == "zh"
    part = Bm25Index.open(tmp_path / "index" / "bm25", 3, index.manifest.bm25)
    scores = part.scores("怎样删除")
    assert scores[1] > 0 and scores[0] == scores[2] == 0
    assert not part.scores("在").any()
