#!/usr/bin/env python3
"""Write source/unicode_tables.c: what the `tokenizers` library does with each character, asked of it one by one.

The library's tables are of a Unicode version of its own, older than those of C libraries and browsers.
"""

import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers

TARGET = Path(__file__).parent / "source" / "unicode_tables.c"
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)  # composed by arithmetic
LATE = "\u0345"  # the mark of the highest class, 240: every other mark moves in front of it
CLASSES = ("DROPPED", "MARK", "CHINESE", "WHITE", "PUNCTUATION", "SYMBOL")  # in the order of their bits


def main() -> None:
    """Ask the library about every character."""
    nfd, nfc, nfkd = normalizers.NFD(), normalizers.NFC(), normalizers.NFKD()
    canonical = {c: nfd.normalize_str(c) for c in CHARACTERS if ord(c) not in HANGUL}
    canonical = {c: text for c, text in canonical.items() if text != c}
    compatible = {c: nfkd.normalize_str(c) for c in CHARACTERS if ord(c) not in HANGUL}
    compatible = {c: text for c, text in compatible.items() if text != canonical.get(c, c)}
    pairs: dict[tuple[str, str], str] = {}
    for character in canonical:
        parts = [chr(int(part, 16)) for part in unicodedata.decomposition(character).split()]
        if len(parts) == 2 and nfc.normalize_str("".join(parts)) == character:
            pairs[parts[0], parts[1]] = character
    text = "/* Written by make_tables.py from the classes of the `tokenizers` library; change that, not this. */\n"
    text += '#include "unicode_tables.h"\n\n'
    text += _spans("pr_class_spans", _classes())
    text += _spans("pr_combining_spans", _combining(nfd))
    text += _mapping("pr_canonical", canonical) + _mapping("pr_compatible", compatible)
    text += _mapping("pr_lowercase", _lowercase())
    small = sorted((ord(a), ord(b), ord(c)) for (a, b), c in pairs.items() if ord(c) < 0x10000)
    large = sorted((ord(a), ord(b), ord(c)) for (a, b), c in pairs.items() if ord(c) >= 0x10000)
    text += _array("uint16_t", "pr_pairs", [number for row in small for number in row])
    text += _array("uint32_t", "pr_large_pairs", [number for row in large for number in row])
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET}: {len(text):,} characters\n")


def _classes() -> Iterable[int]:
    """Return the bits of `CLASSES` of every code point."""
    switches = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = normalizers.BertNormalizer(**switches | {"clean_text": True})
    strip = normalizers.BertNormalizer(**switches | {"strip_accents": True})
    chinese = normalizers.BertNormalizer(**switches | {"handle_chinese_chars": True})
    split = pre_tokenizers.BertPreTokenizer()
    symbols = pre_tokenizers.Split(Regex(r"\p{S}"), "isolated")
    bits = [0] * 0x110000
    for character in CHARACTERS:
        parts = len(split.pre_tokenize_str(f"a{character}b"))
        belongs = (
            clean.normalize_str(character) == "",
            strip.normalize_str(character) == "",
            chinese.normalize_str(character) != character,
            parts == 2,
            parts == 3,
            len(symbols.pre_tokenize_str(f"a{character}b")) == 3,
        )
        bits[ord(character)] = sum(1 << place for place, belongs_there in enumerate(belongs) if belongs_there)
    return bits


def _combining(nfd: Any) -> Iterable[int]:
    """Return the canonical combining class of every code point, 0 where the library's version does not know it."""
    classes = [0] * 0x110000
    for character in CHARACTERS:
        if character == LATE or nfd.normalize_str(LATE + character) == character + LATE:
            classes[ord(character)] = unicodedata.combining(character)
            if not classes[ord(character)] and nfd.normalize_str(character) == character:
                raise SystemExit(f"U+{ord(character):04X}: the library knows a class that Python does not")
    return classes


def _lowercase() -> dict[str, str]:
    lower = normalizers.Lowercase()
    made = {character: lower.normalize_str(character) for character in CHARACTERS}
    return {character: text for character, text in made.items() if text != character}


def _spans(name: str, values: Iterable[int]) -> str:
    """Write where each run of equal values begins, and its value: code << 8 | value."""
    spans: list[int] = []
    last = -1
    for code, value in enumerate(values):
        if value != last:
            spans.append(code << 8 | value)
            last = value
    return _array("uint32_t", name, spans)


def _mapping(name: str, texts: Mapping[str, str]) -> str:
    """Write sorted keys (16 bits, by plane), where the text of each begins, and all texts in UTF-16."""
    keys = sorted(texts, key=ord)
    planes = [sum(1 for key in keys if ord(key) >> 16 < plane) for plane in range(4)]
    if any(ord(key) >> 16 > 2 for key in keys):
        raise SystemExit(f"{name}: a key beyond the third plane")
    starts: list[int] = [0]
    pool: list[int] = []
    for key in keys:
        data = texts[key].encode("utf-16-le")
        pool += [data[place] | data[place + 1] << 8 for place in range(0, len(data), 2)]
        starts.append(len(pool))
    if len(pool) >= 1 << 16:
        raise SystemExit(f"{name}: more than 65,535 units")
    text = _array("uint16_t", f"{name}_keys", [ord(key) & 0xFFFF for key in keys])
    text += _array("uint16_t", f"{name}_starts", starts) + _array("uint16_t", f"{name}_units", pool)
    planes_text = ",".join(map(str, planes))
    return text + (
        f"const struct pr_mapping {name} = {{{{{planes_text}}}, {name}_keys, {name}_starts, {name}_units}};\n\n"
    )


def _array(kind: str, name: str, numbers: list[int]) -> str:
    lines: list[str] = []
    line = ""
    for number in numbers:
        piece = f"{number},"
        if len(line) + len(piece) > 118:
            lines.append(line)
            line = ""
        line += piece
    body = "\n".join([*lines, line])
    public = "" if any(name.endswith(end) for end in ("_keys", "_starts", "_units")) else "const unsigned "
    count = f"{public}int {name}_count = {len(numbers)};\n" if public else ""
    static = "static " if not public else ""
    return f"{static}const {kind} {name}[{len(numbers)}] = {{\n{body}\n}};\n{count}\n"


if __name__ == "__main__":
    main()
