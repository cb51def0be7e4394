#!/usr/bin/env python3
"""Write export/page/characters.js: which characters the `tokenizers` library drops, strips, changes, or parts words at.

The library's tables are of an older Unicode than those of browsers, so the page brings its own.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

TARGET = Path(__file__).with_name("characters.js")
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def ranges(name: str, belongs: Callable[[str], bool]) -> str:
    """Return a JavaScript regular expression of the characters that belong."""
    spans: list[list[int]] = []
    for code in (ord(character) for character in CHARACTERS if belongs(character)):
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    text = "".join(f"\\u{{{first:x}}}" + (f"-\\u{{{last:x}}}" if last > first else "") for first, last in spans)
    return f"export const {name} = /[{text}]/u;\n"


def main() -> None:
    """Ask the library about every character."""
    switches = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = normalizers.BertNormalizer(**switches | {"clean_text": True})
    strip = normalizers.BertNormalizer(**switches | {"strip_accents": True})
    chinese = normalizers.BertNormalizer(**switches | {"handle_chinese_chars": True})
    split = pre_tokenizers.BertPreTokenizer()
    symbols = pre_tokenizers.Split(Regex(r"\p{S}"), "isolated")
    nfkc = normalizers.NFKC()
    parts = {character: len(split.pre_tokenize_str(f"a{character}b")) for character in CHARACTERS}
    text = "// Written by export/page/make_characters.py; the classes of the `tokenizers` library.\n"
    text += ranges("DROPPED", lambda character: clean.normalize_str(character) == "")
    text += ranges("MARK", lambda character: strip.normalize_str(character) == "")
    text += ranges("CHINESE", lambda character: chinese.normalize_str(character) != character)
    text += ranges("WHITE", lambda character: parts[character] == 2)
    text += ranges("PUNCTUATION", lambda character: parts[character] == 3)
    text += ranges("SYMBOL", lambda character: len(symbols.pre_tokenize_str(f"a{character}b")) == 3)
    text += ranges("COMPATIBLE", lambda character: nfkc.normalize_str(character) != character)
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET}: {len(text):,} characters\n")


if __name__ == "__main__":
    main()
