# ruff: noqa: RUF001
"""Texts that have broken tokenizers before: scripts, marks, controls, and what looks like a special token."""

TOKENIZER_EDGE_CASES = (
    "",
    " ",
    "\t\n\r\u000b\u000c\u0085\u00a0\u2028\u3000",
    "\x00\x01\x1f\x7f\u0080\u200b\u200d\u2060\ufeff",
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls]",
    "##ing ## # a##b",
    "Merge TWO sorted-lists: heapq.merge(*iterables, key=None)!",
    "İstanbul ıŞIK ẞ ß ﬁ ǅ ΑΣ ς",
    "e\u0301 é n\u0303 ñ \u0301 \u0301\u0301 Å Å Ω",
    "漢字かな交じり文 한국어 한글 ไทย हिन्दी עברית العربية ქართული",
    "🙂 👩\u200d👩\u200d👧 🇫🇷 ☺\ufe0f 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff \ufffd",
    "½ ² ₃ Ⅷ ① ％ ﹪ ＡＢＣ １２３ … — ‘’ “” « »",
    "\u202eright to left\u202c \u2066isolate\u2069",
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101 + " " + "d" * 2000,
    "1_000 3.14 1e-9 0xFF v2.0.1 C++ C# a.b.c __init__ @x $y ~z `q` ^w |v| \\u",
    "x" + "\u0300" * 50,
    "word " * 600,
)
