"""Words of Chinese, Japanese and Thai as BudouX finds them: a small model of where a phrase may be broken.

It is the optional extra `segment`, in plain Python and without dependencies. Other scripts are cut as in
`segmentation.py`.
"""

import functools
import importlib
import re
from typing import Any

from ...runtime.extras import require
from ...runtime.search.words import HAN, KANA, marks
from . import segmentation

_THAI = "\u0e01-\u0e3a\u0e40-\u0e4e"
# In this order: Japanese has Han beside its kana. Traditional characters are near enough to simplified ones.
_PARSERS = (
    ("japanese", re.compile(f"[{KANA}]")),
    ("thai", re.compile(f"[{_THAI}]")),
    ("simplified_chinese", re.compile(f"[{HAN}]")),
)


def require_library() -> None:
    """Raise `UnavailableError` with the command that installs it when BudouX is not here."""
    require('queries.words = "budoux"', "budoux")


@functools.cache
def _parser(name: str) -> Any:
    require_library()
    return getattr(importlib.import_module("budoux"), f"load_default_{name}_parser")()


def _parser_of(text: str) -> Any:
    return next((_parser(name) for name, script in _PARSERS if script.search(text)), None)


def pieces(text: str) -> list[str]:
    """Return the words of a text, each with the space before it; joined they are the text on one line."""
    parser = None if text.isascii() else _parser_of(text)
    if parser is None:
        return segmentation.pieces(text)
    found: list[str] = []
    for word in text.split():
        first, *others = parser.parse(word) if segmentation.is_unspaced(word) else [word]
        found += [f" {first}", *others]
    return found


@functools.cache
def _head() -> re.Pattern[str]:
    """Return what a word begins with that says something: not the hiragana and signs that follow it."""
    katakana = "\u30a1-\u30fa\u30fc"
    return re.compile(f"(?:[{HAN}{katakana}]){{2,}}|(?:[{_THAI}][{marks()}]*){{2,}}")


def keyword_candidates(text: str) -> list[str]:
    """Return the lower-case words that may be keywords, without the grammar behind them."""
    text = text.lower()
    if text.isascii() or _parser_of(text) is None:
        return segmentation.keyword_candidates(text)
    found: list[str] = []
    for piece in pieces(text):
        word = piece.strip()
        if segmentation.is_unspaced(word):
            head = _head().match(word)
            found += [head[0]] if head else []
        else:
            found += segmentation.keyword_candidates(word)
    return found
