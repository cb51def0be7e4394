"""Noise as people make it when they type: another case, lost punctuation, typing errors.

Training texts get it where `queries.noise` asks for it, test queries where `pocketrank evaluate --noise` does.
"""

import random
import re

WORDS_PER_ERROR = 8  # a text gets one typing error for every eight words begun

# Keys beside each other in the rows of a QWERTY keyboard.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_BESIDE = {
    key: row[max(index - 1, 0) : index] + row[index + 1 : index + 2] for row in _ROWS for index, key in enumerate(row)
}
_LONG_WORD = re.compile(r"\w{4,}")


def add_typing_noise(text: str, chance: float, rng: random.Random) -> str:
    """Return `text` with one kind of noise with probability `chance`, or as it is.

    All kinds that change the text are equally likely.
    """
    if not chance or rng.random() >= chance:
        return text
    variants = (text.upper(), text.lower(), text.title(), without_punctuation(text), add_typing_errors(text, rng))
    return rng.choice([variant for variant in variants if variant != text] or [text])


def without_punctuation(text: str) -> str:
    """Return the runs of letters, digits and underscores, one space between them."""
    return " ".join(re.findall(r"\w+", text))


def add_typing_errors(text: str, rng: random.Random) -> str:
    """Return `text` with typing errors inside words of at least four letters; first and last letters stay.

    An error swaps two letters, leaves one out, doubles one, or hits the key beside it.
    """
    errors = -(-len(text.split()) // WORDS_PER_ERROR)
    spans = [match.span() for match in _LONG_WORD.finditer(text)]
    # From the last word back, so that the positions of the others stay true.
    for start, end in sorted(rng.sample(spans, min(errors, len(spans))), reverse=True):
        position = rng.randrange(start + 1, end - 2)
        letter, following = text[position], text[position + 1]
        beside = _BESIDE.get(letter.lower(), "")
        changed = [following + letter, following, letter + letter + following]
        changed += [rng.choice(beside) + following] if beside else []
        text = text[:position] + rng.choice(changed) + text[position + 2 :]
    return text
