"""Is a text made of words that a bundle knows? In another script every word is [UNK], and all texts look alike."""

import itertools
from collections.abc import Iterable

from ..encoder import Encoder

WARNING_SHARE = 0.5  # of the words
SAMPLE = 200  # texts that are looked at, about, spread over all


def unknown_share(encoder: Encoder, texts: Iterable[str], count: int) -> float:
    """Return the share of the words that the bundle's vocabulary does not know, in a sample of the `count` texts."""
    sample = itertools.islice(texts, 0, None, max(1, count // SAMPLE))
    unknown, words = encoder.tokenizer.unknown_words(list(sample))
    return unknown / max(words, 1)


def unknown_warning(encoder: Encoder, texts: Iterable[str], count: int, what: str) -> str:
    """Return a line for people when most words of `count` texts, called `what`, are unknown to the bundle, else ""."""
    share = unknown_share(encoder, texts, count)
    if share <= WARNING_SHARE:
        return ""
    return (
        f"warning: {share:.0%} of the words of {what} are unknown to {encoder.bundle}, which cannot tell them apart; "
        "use a bundle made for texts of this language and script"
    )
