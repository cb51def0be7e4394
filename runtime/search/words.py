"""Words of a text in any script, for BM25 and for generated queries; and the language of a collection.

Marks belong to words: `\\w` of Python ends one of Hindi at its vowel signs. A run in a script that is written without
spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) becomes its pairs of neighbouring characters, each with its marks,
as in Lucene's CJKAnalyzer.
"""

import functools
import itertools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
SOUTH_EAST_ASIAN = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3\u17dc"
UNSPACED = HAN + KANA + SOUTH_EAST_ASIAN
NO_LANGUAGE = "none"  # several languages, or one without a list of stop words
_SAMPLE, _SAMPLE_CHARACTERS = 2000, 2000  # texts whose language is asked for, and what is read of each
_ENOUGH_VOTES = 0.2  # of the texts; fewer votes against English are chance
_LEAST_STOP_WORDS, _LEAST_IN_CYRILLIC = 0.1, 0.03  # of the words of a text in the language
_FOREIGN_LETTERS = 0.05  # outside ASCII: no English text
_SCRIPTS = (("ja", f"[{KANA}]"), ("zh", f"[{HAN}]"), ("ko", "[\uac00-\ud7a3]"))
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile("[a-z\u00aa-\u024f\u1e00-\u1eff]")
_LATIN_OR_CYRILLIC = re.compile("[a-z\u00aa-\u024f\u1e00-\u1eff\u0400-\u052f]")


@functools.cache
def marks() -> str:
    """Return all combining marks as ranges of a regular expression."""
    codes = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M")
    grouped = itertools.groupby(enumerate(codes), lambda pair: pair[1] - pair[0])
    runs = [[code for _, code in group] for _, group in grouped]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


@functools.cache
def _word_pattern() -> re.Pattern[str]:
    unspaced, spaced = f"(?:[{UNSPACED}][{marks()}]*)+", f"(?:(?![{UNSPACED}])\\w[{marks()}]*)+"
    return re.compile(f"({unspaced})|{spaced}")


@functools.cache
def _character_pattern() -> re.Pattern[str]:
    return re.compile(f".[{marks()}]*")


def words(text: str) -> list[str]:
    """Return the lower-case words of `text` in any script, and pairs of characters where there are no spaces.

    >>> words("मशीन learning 向量检索")
    ['मशीन', 'learning', '向量', '量检', '检索']
    """
    found: list[str] = []
    for match in _word_pattern().finditer(unicodedata.normalize("NFKC", text).lower()):
        if match[1] is None:
            found += [match[0]] if len(match[0]) > 1 else []
        else:
            run = _character_pattern().findall(match[0])
            found += ["".join(pair) for pair in itertools.pairwise(run)] if len(run) > 1 else run
    return found


def word_places(text: str) -> list[tuple[int, int]]:
    """Return begin and end in `text` of each word that `words` finds, where no character is made into several."""
    found: list[tuple[int, int]] = []
    for match in _word_pattern().finditer(text):
        if match[1] is None:
            found.append(match.span())
        else:
            run = [part.span() for part in _character_pattern().finditer(text, *match.span())]
            found += [(first, last) for (first, _), (_, last) in itertools.pairwise(run)] if len(run) > 1 else run
    return found


def detect_language(texts: Iterable[str], stop_words: Mapping[str, Collection[str]]) -> str:
    """Return the language of most of the first `texts`: a key of `stop_words` (its common words), or `NO_LANGUAGE`.

    Names and code, in which no language shows, are taken for English, and so is a collection most of which is that.
    """
    sampled = list(itertools.islice(texts, _SAMPLE))
    votes = Counter(_vote(text[:_SAMPLE_CHARACTERS].lower(), stop_words) for text in sampled)
    del votes[""]
    if not votes:
        return "en"
    language, times = max(votes.items(), key=lambda item: (item[1], item[0]))
    if votes["en"] == times or votes.total() - votes["en"] < _ENOUGH_VOTES * len(sampled):
        return "en"
    return language if 2 * times > votes.total() and language in stop_words else NO_LANGUAGE


def _vote(text: str, stop_words: Mapping[str, Collection[str]]) -> str:
    """Return the language of one lower-case text, "" where it does not show."""
    letters = _LETTER.findall(text)
    if sum(1 for letter in letters if _LATIN_OR_CYRILLIC.match(letter)) < len(letters) / 2:
        return next((language for language, script in _SCRIPTS if re.search(script, text)), NO_LANGUAGE)
    found = words(text)
    hits = {language: sum(word in common for word in found) for language, common in stop_words.items()}
    best = max(hits.values(), default=0)
    if best and best >= (_LEAST_STOP_WORDS if _LATIN.search(text) else _LEAST_IN_CYRILLIC) * len(found):
        languages = [language for language, times in hits.items() if times == best]
        return languages[0] if len(languages) == 1 else ""
    foreign = sum(not letter.isascii() for letter in letters)
    return NO_LANGUAGE if foreign > _FOREIGN_LETTERS * len(letters) else ""
