"""Noise as people make it when they type: another case, lost punctuation, typing errors.

Training texts get it where `queries.noise` asks for it, test queries where `pocketrank evaluate --noise` does.
"""

import random
import re

WORDS_PER_ERROR = 8  # a text gets one typing error for every eight words begun

# Keys beside each other in the rows of a QWERTY keyboard.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_BESIDE = {
    key: row[max(place - 1, 0) : place] + row[place + 1 : place + 2] for row in _ROWS for place, key in enumerate(row)
}
_LONG_WORD = re.compile(r"\w{4,}")


def noisy(text: str, chance: float, draw: random.Random) -> str:
    """Return `text` with one kind of noise with probability `chance`, or as it is.

    All kinds that change the text are equally likely.
    """
    if not chance or draw.random() >= chance:
        return text
    found = (text.upper(), text.lower(), text.title(), without_punctuation(text), mistyped(text, draw))
    return draw.choice([changed for changed in found if changed != text] or [text])


def without_punctuation(text: str) -> str:
    """Return the runs of letters, digits and underscores, one space between them."""
    return " ".join(re.findall(r"\w+", text))


def mistyped(text: str, draw: random.Random) -> str:
    """Return `text` with typing errors inside words of at least four letters; first and last letters stay.

    An error swaps two letters, leaves one out, doubles one, or hits the key beside it.
    """
    errors = -(-len(text.split()) // WORDS_PER_ERROR)
    spans = [found.span() for found in _LONG_WORD.finditer(text)]
    # From the last word back, so that the places of the others stay true.
    for start, end in sorted(draw.sample(spans, min(errors, len(spans))), reverse=True):
        place = draw.randrange(start + 1, end - 2)
        letter, following = text[place], text[place + 1]
        beside = _BESIDE.get(letter.lower(), "")
        changed = [following + letter, following, letter + letter + following]
        changed += [draw.choice(beside) + following] if beside else []
        text = text[:place] + draw.choice(changed) + text[place + 2 :]
    return text
