"""Turn the pieces of a WordPiece vocabulary into a Unigram one: a probability for each, from the words themselves.

A Unigram tokenizer (Kudo 2018) cuts a word into the pieces whose probabilities have the largest product. The
probabilities are found by hard expectation-maximisation: cut every word in the best way, count the pieces, repeat.
Sums run in a fixed order and scores are rounded, so that the result is the same at every run.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from .wordpiece import CONTINUATION, piece_counts

WORD_START = "▁"  # marks the first piece of a word
ROUNDS = 4
_SMALLEST = 0.5  # count of a piece that no word uses, so that its score stays finite


def learn_unigram(word_counts: Mapping[str, int], pieces: Sequence[str]) -> list[tuple[str, float]]:
    """Return (piece, log probability) for `pieces`, most probable first.

    Pieces come in and go out marked: `##` inside a word before, `▁` at its start after. They must be able to spell
    every word.
    """
    marked = {piece: _marked(piece) for piece in pieces}
    use = piece_counts(word_counts, pieces)
    counts = {marked[piece]: float(use[piece]) for piece in pieces}
    longest = max(map(len, counts))
    words = [(WORD_START + word, count) for word, count in sorted(word_counts.items())]
    for _ in range(ROUNDS):
        scores = _scores(counts)
        tally: Counter[str] = Counter()
        for word, count in words:
            for piece in best_cut(word, scores, longest):
                tally[piece] += count
        counts = {piece: float(tally[piece]) for piece in counts}
    scores = _scores(counts)
    return sorted(((piece, round(score, 4)) for piece, score in scores.items()), key=lambda pair: (-pair[1], pair[0]))


def best_cut(word: str, scores: Mapping[str, float], longest: int) -> list[str]:
    """Return the pieces of `word` with the largest sum of scores (Viterbi 1967); empty when it cannot be spelled."""
    best: list[tuple[float, int]] = [(0.0, 0)] + [(-math.inf, 0)] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - longest), end):
            score = scores.get(word[start:end])
            if score is not None and best[start][0] + score > best[end][0]:
                best[end] = (best[start][0] + score, start)
    if best[-1][0] == -math.inf:
        return []
    pieces: list[str] = []
    end = len(word)
    while end:
        start = best[end][1]
        pieces.append(word[start:end])
        end = start
    return pieces[::-1]


def _marked(piece: str) -> str:
    return piece.removeprefix(CONTINUATION) if piece.startswith(CONTINUATION) else WORD_START + piece


def _scores(counts: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(max(count, _SMALLEST) for count in counts.values())
    return {piece: math.log(max(count, _SMALLEST) / total) for piece, count in counts.items()}
