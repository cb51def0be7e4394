"""Whether a server can teach: 64 texts asked twice and in other batches, before anything else is asked.

A vector has to depend on its text alone. A server that pools over padding, quantizes by what else is in the batch,
mixes up its answers, changes its mind, cuts texts before the length that it says or does not normalise when it says so
is refused with the figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ....runtime.errors import InputError
from .client import Answer

_LEAST_COSINE = 0.999  # of a text with itself: half precision in another batch gives 0.9999
_UNIT = 1e-2  # half precision rounds lengths by less
_SHORT, _TOPICS = 16, ("bread", "whales", "taxes", "violins", "vitamins", "volcanoes", "interest", "trains")
_ASPECTS = (
    "history of {0}",
    "how do {0} and money go together?",
    "The city's museum shows {0} from four centuries, and children may touch them on Sundays.",
    "def load_{0}(path): return open(path).read()",
    "Über {0} weiß man in Köln wenig; 東京では毎日のように話題になります。",
    "{0}",
    "A list of {0}, sorted by weight, with the heaviest first. " * 4,
    "Nobody had expected {0} to matter to the members of the committee, least of all the man who wrote the minutes.",
)
TEXTS = tuple(aspect.format(topic) for aspect in _ASPECTS for topic in _TOPICS)


@dataclass(frozen=True)
class Admission:
    """What was found."""

    dimension: int
    asked_twice: float  # least cosine of a text's two vectors in the same batch
    other_batches: float  # the same in batches of other sizes, in another order
    least_norm: float
    largest_norm: float
    read_words: int  # of a long text the first so many change its vector, at least

    def record(self) -> dict[str, float]:
        """Return the figures, rounded."""
        return {name: round(value, 6) for name, value in vars(self).items()}


def admit(ask: Callable[[Sequence[str]], Answer], texts: int, unit: bool, tokens: int) -> Admission:
    """Return the figures of a server that can teach; raise `InputError` for one that cannot.

    `texts` is the most that a request holds. `unit`: the server says that it normalises. `tokens`: how many it says
    that it reads; 0 where it does not.
    """
    first, second = (_in_batches(ask, TEXTS, texts) for _ in range(2))
    order = np.random.default_rng(1).permutation(len(TEXTS))
    others = np.empty_like(first)
    others[order] = _in_batches(ask, [TEXTS[row] for row in order], max(1, min(texts - 1, 7)))
    alone = _in_batches(ask, TEXTS[::8], 1)
    norms = np.linalg.norm(first, axis=1)
    if not norms.min() > 1e-6:
        raise InputError("the server gives a vector of length 0; check its model")
    spread = _unit_rows(first) @ _unit_rows(first).T
    if spread.min() > 1 - 1e-5:
        raise InputError(f"the server gives all texts one vector (cosines from {spread.min():.6f}); check its model")
    apart = min(_least_cosine(first, others), _least_cosine(first[::8], alone))
    found = Admission(
        first.shape[1], _least_cosine(first, second), apart, float(norms.min()), float(norms.max()), _read_words(ask)
    )
    _judge(found, unit, tokens)
    return found


def _judge(found: Admission, unit: bool, tokens: int) -> None:
    if found.asked_twice < _LEAST_COSINE:
        raise InputError(
            f"the server gives a text another vector when it is asked again (cosine {found.asked_twice:.4f} at worst "
            f"of {len(TEXTS)} texts, {_LEAST_COSINE} is needed); use another server"
        )
    if found.other_batches < _LEAST_COSINE:
        raise InputError(
            f"the server gives a text another vector in another batch (cosine {found.other_batches:.4f} at worst of "
            f"{len(TEXTS)} texts, {_LEAST_COSINE} is needed): it pools over padding, quantizes by the batch or mixes "
            "up its answers; use another server, or set teacher.endpoint_texts = 1"
        )
    lengths = f"lengths from {found.least_norm:.4f} to {found.largest_norm:.4f}"
    mixed = abs(found.least_norm - 1) < _UNIT < abs(found.largest_norm - 1)
    if (unit and max(1 - found.least_norm, found.largest_norm - 1) > _UNIT) or mixed:
        raise InputError(f"the server normalises otherwise than it says: vectors have {lengths}; use another server")
    if tokens and found.read_words * 2 < min(tokens, _LONGEST_WORDS):
        raise InputError(
            f"the server says that it reads {tokens} tokens, and after the word {2 * found.read_words} nothing changes "
            "a vector; set teacher.max_length to what it reads, or use another server"
        )


_LONGEST_WORDS = 256


def _read_words(ask: Callable[[Sequence[str]], Answer]) -> int:
    """Return the largest of 8, 16, 32, … words behind which the next words still change a text's vector."""
    words = ["aeiou"[place % 5] for place in range(_LONGEST_WORDS)]  # a letter is a token to most
    read = 0
    length = 8
    while length < _LONGEST_WORDS:
        tails = (words[length : 2 * length], ["t", "n"] * (length // 2))
        try:
            answer = ask([" ".join(words[:length] + tail) for tail in tails])
        except InputError:  # too long for it
            break
        one, two = _unit_rows(answer.vectors)
        if float(one @ two) > 1 - 1e-6:
            break
        read, length = length, 2 * length
    return read


def _in_batches(ask: Callable[[Sequence[str]], Answer], texts: Sequence[str], size: int) -> np.ndarray:
    blocks = [ask(texts[first : first + size]).vectors for first in range(0, len(texts), size)]
    widths = sorted({block.shape[1] for block in blocks})
    if len(widths) > 1:
        raise InputError(f"the server gives vectors of {' and '.join(map(str, widths))} dimensions; use another server")
    return np.concatenate(blocks)


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _least_cosine(one: np.ndarray, two: np.ndarray) -> float:
    if one.shape != two.shape:
        raise InputError(f"the server gives {one.shape[1]} and {two.shape[1]} dimensions; use another server")
    return float((_unit_rows(one) * _unit_rows(two)).sum(1).min())
