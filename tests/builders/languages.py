# ruff: noqa: RUF001
"""A short text in each of many languages, with the queries that the figures of languages are read from."""

TEXTS = {
    "de": "Das Wörterbuch enthält alle Wörter der Straße. Über die Brücke fährt täglich ein größerer Zug nach Köln.",
    "fr": "La forêt protégée accueille des élèves chaque été. Où se trouve la bibliothèque de la mère de François ?",
    "es": "El niño pequeño leyó un cuento en español. ¿Dónde está la estación de trenes más próxima a la montaña?",
    "pt": "A população da região não sofreu alterações. Os pães da manhã são feitos com maçã, limão e avelã.",
    "it": "La città è più bella di sera perché c'è la luce. Il caffè della libertà apre lunedì e chiude martedì.",
    "ru": "Ёжик нашёл чистый ручей в тихом лесу. Мой младший брат едет в музей, а сестра читает новый учебник.",
    "vi": "Tiếng Việt có sáu thanh điệu khác nhau. Trường đại học nằm cạnh một dòng sông rất đẹp và yên tĩnh.",
    "zh": "机器学习可以从数据中发现规律。图书馆今天开门吗？请把文件保存到这个目录，然后重新启动电脑！",
    "ja": "データベースを検索するプログラムを書きました。ファイルはどこに保存されますか？ガラスの橋を渡ってください。",
    "ko": "도서관은 오늘 아침 일찍 문을 열었습니다. 파일을 압축하려면 어떤 명령을 사용해야 합니까?",
    "hi": "पुस्तकालय में हिन्दी की बहुत सी किताबें हैं। विद्यार्थी प्रतिदिन सुबह पढ़ने आते हैं। क्या यह फ़ाइल खुली है?",
    "ar": "تحتوي المكتبة على كتبٍ كثيرة باللغة العربية. هل يمكنك حفظ الملف في هذا المجلد؟ قَرَأَ الطالبُ كتابًا جديدًا.",
    "th": "ห้องสมุดเปิดทุกวันตั้งแต่เช้าจนถึงเย็น นักเรียนชอบอ่านหนังสือภาษาไทย กรุณาบันทึกไฟล์ไว้ในโฟลเดอร์นี้",
    "bn": "গ্রন্থাগারে বাংলা ভাষার অনেক বই আছে। ছাত্ররা প্রতিদিন সকালে পড়তে আসে। এই ফাইলটি কোথায় সংরক্ষণ করব?",
}
