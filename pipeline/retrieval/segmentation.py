"""Words and sentences of any script, for queries that are generated from documents.

A text in a script that is written without spaces is cut into pieces of about a word's length: no dictionary is asked.
"""

import functools
import itertools
import re

from ...runtime.search.words import HAN, KANA, SOUTH_EAST_ASIAN, UNSPACED, marks

# Ends of sentences beside . ! ? ; : of Latin scripts; in Thai and its kin a space between two runs is one.
SENTENCE_END = (
    r"(?<=[\u3002\uff01\uff1f\uff1b\uff1a\uff61])(?![\u300d\u300f\uff09\u201d])\s*|(?<=[\u0964\u0965\u061f\u06d4\u061b\u104b\u17d4])\s*"
    rf"|(?<=[{SOUTH_EAST_ASIAN}])\s+(?=[{SOUTH_EAST_ASIAN}])"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Return whether `text` has a character of a script that is written without spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None


@functools.cache
def _piece_pattern() -> re.Pattern[str]:
    # Two characters of Han, up to eight of kana, four of Thai and its kin, or what stands between them.
    marked = rf"[{marks()}\u30fc]*"
    counts = ((HAN, 2), (KANA, 8), (SOUTH_EAST_ASIAN, 4))
    runs = "|".join(f"(?:[{script}]{marked}){{1,{count}}}" for script, count in counts)
    return re.compile(f"{runs}|[^{UNSPACED}]+")


def pieces(text: str) -> list[str]:
    """Return the words of a text, each with the space before it; joined they are the text on one line.

    >>> pieces("read files"), pieces("检索向量 API")
    ([' read', ' files'], [' 检索', '向量', ' API'])
    """
    found: list[str] = []
    for word in text.split():
        first, *others = _piece_pattern().findall(word) if is_unspaced(word) else [word]
        found += [f" {first}", *others]
    return found


_ASCII_KEYWORD = re.compile(r"[^\W\d_][^\W_]+")


@functools.cache
def _keyword_pattern() -> re.Pattern[str]:
    # Words with their marks; kana words are runs of katakana, as hiragana is mostly grammar.
    letter, marked = f"(?![{UNSPACED}])[^\\W_]", f"[{marks()}]*"
    katakana = r"[\u30a1-\u30fa][\u30a1-\u30fa\u30fc]+"
    return re.compile(
        rf"(?=[^\W\d_]){letter}{marked}(?:{letter}{marked})+|{katakana}|([{HAN}]{{2,}})|((?:[{SOUTH_EAST_ASIAN}]{marked})+)"
    )


def keyword_candidates(text: str) -> list[str]:
    """Return the lower-case words that may be keywords: every pair of Han, every four of Thai and its kin.

    >>> keyword_candidates("Read 2 files"), keyword_candidates("मशीन की"), keyword_candidates("検索エンジンを")
    (['read', 'files'], ['मशीन', 'की'], ['検索', 'エンジン'])
    """
    text = text.lower()
    if text.isascii():
        return _ASCII_KEYWORD.findall(text)
    found: list[str] = []
    for match in _keyword_pattern().finditer(text):
        if match[1]:
            found += ["".join(pair) for pair in itertools.pairwise(match[1])]
        elif match[2]:
            signs = re.findall(f".[{marks()}]*", match[2])
            found += ["".join(signs[start : start + 4]) for start in range(max(len(signs) - 3, 1))]
        else:
            found.append(match[0])
    return found
