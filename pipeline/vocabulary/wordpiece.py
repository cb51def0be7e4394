"""Learn the pieces of a WordPiece vocabulary, exactly and in the same order at every run.

The trainers of `tokenizers` give another vocabulary at each run on the same text, because ties are broken by the
order of hash tables. Here every tie is broken by the pieces themselves.

Two steps. Merges: the most frequent pair of neighbours becomes a piece, again and again (Sennrich, Haddow and Birch
2016). Pruning: a WordPiece tokenizer takes the longest piece that fits, not the merges in order, so that many pieces
that the merges make on their way are never used; more pieces than wanted are learned, and those used least when words
are really cut are dropped in rounds.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

CONTINUATION = "##"
SURPLUS = 1.5  # pieces learned by merging, relative to those that stay
PRUNING_ROUNDS = 4


def learn_pieces(
    word_counts: Mapping[str, int], alphabet: Collection[str], sizes: Collection[int]
) -> dict[int, list[str]]:
    """Return for each size at most that many pieces: the alphabet, then the others by use (equals by the piece).

    `word_counts` holds normalised words and how often they occur. `alphabet` holds the single characters that must
    stay, as word starts ("a") and as continuations ("##a"); words with a character outside it are passed over.
    """
    words = spellable(word_counts, alphabet)
    # The merges for a smaller size are the first ones of a larger: one run serves all sizes.
    merged = merge_pairs(words, alphabet, round(max(sizes) * SURPLUS))
    extra = {size: max(round(size * SURPLUS) - len(alphabet), 0) for size in sizes}
    return {size: prune(words, alphabet, merged[: extra[size]], size) for size in sizes}


def spellable(word_counts: Mapping[str, int], alphabet: Collection[str]) -> dict[str, int]:
    """Return the words that consist of characters of the alphabet."""
    return {word: count for word, count in word_counts.items() if word and set(_characters(word)) <= set(alphabet)}


def merge_pairs(word_counts: Mapping[str, int], alphabet: Collection[str], size: int) -> list[str]:
    """Return new pieces in the order of their merges until alphabet and pieces together are `size`."""
    pairs = _Pairs(word_counts)
    known = set(alphabet)
    pieces: list[str] = []
    while len(known) < size and (pair := pairs.most_frequent()) is not None:
        piece = pair[0] + pair[1].removeprefix(CONTINUATION)
        if piece not in known:
            known.add(piece)
            pieces.append(piece)
        pairs.merge(pair, piece)
    return pieces


class _Pairs:
    """Counts of the pairs of neighbours in all words, brought up to date merge by merge."""

    def __init__(self, word_counts: Mapping[str, int]) -> None:
        self._words = [(_characters(word), count) for word, count in sorted(word_counts.items())]
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._positions: dict[tuple[str, str], set[int]] = defaultdict(set)  # of the words that a pair is in
        for position, (symbols, count) in enumerate(self._words):
            self._add(position, symbols, count)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def _add(self, position: int, symbols: list[str], count: int) -> set[tuple[str, str]]:
        for pair in itertools.pairwise(symbols):
            self._counts[pair] += count
            self._positions[pair].add(position)
        return set(itertools.pairwise(symbols))

    def most_frequent(self) -> tuple[str, str] | None:
        """Return the most frequent pair, of equals the smallest; `None` when all occur once: not worth a row."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            if -negative == self._counts.get(pair, 0):
                return pair if -negative > 1 else None
            # Otherwise the count has changed since; its new entry is in the heap as well.
        return None

    def merge(self, pair: tuple[str, str], piece: str) -> None:
        """Put `piece` for `pair` in every word."""
        changed: set[tuple[str, str]] = set()
        for position in self._positions.pop(pair):
            symbols, count = self._words[position]
            for old in itertools.pairwise(symbols):
                self._counts[old] -= count
                changed.add(old)
            joined = _joined(symbols, pair, piece)
            changed |= self._add(position, joined, count)
            self._words[position] = (joined, count)
        self._counts.pop(pair, None)
        for other in changed:
            if self._counts.get(other, 0) > 0:
                heapq.heappush(self._heap, (-self._counts[other], other))


def prune(word_counts: Mapping[str, int], alphabet: Collection[str], pieces: Iterable[str], size: int) -> list[str]:
    """Return the alphabet and the most used of `pieces`, `size` in all."""
    fixed = sorted(alphabet)
    kept = set(pieces) - set(fixed)
    room = max(size - len(fixed), 0)
    for remaining in range(PRUNING_ROUNDS, -1, -1):
        use = piece_counts(word_counts, kept | set(fixed))
        surplus = len(kept) - room
        ranked = sorted(kept, key=lambda piece: (-use[piece], piece))
        if surplus <= 0 or remaining == 0:
            return fixed + ranked[:room]
        # Half of what is too many goes at a time: words that lose a piece fall back on others, whose use grows.
        kept = set(ranked[: len(ranked) - (surplus + 1) // 2])
    raise AssertionError("the last round returns")


def piece_counts(word_counts: Mapping[str, int], vocabulary: Collection[str]) -> Counter[str]:
    """Return how often each piece is used when all words are cut by longest match; unknown words use nothing."""
    pieces = frozenset(vocabulary)
    longest = max((len(piece.removeprefix(CONTINUATION)) for piece in pieces), default=0)
    use: Counter[str] = Counter()
    for word, count in word_counts.items():
        for piece in cut_word(word, pieces, longest) or ():
            use[piece] += count
    return use


def cut_word(word: str, pieces: Collection[str], longest: int) -> list[str] | None:
    """Return the pieces of `word` by longest match from the left, or `None` when it cannot be spelled."""
    parts: list[str] = []
    start = 0
    while start < len(word):
        prefix = CONTINUATION if start else ""
        for end in range(min(len(word), start + longest), start, -1):
            if prefix + word[start:end] in pieces:
                parts.append(prefix + word[start:end])
                start = end
                break
        else:
            return None
    return parts


def _characters(word: str) -> list[str]:
    return [word[0], *(CONTINUATION + character for character in word[1:])]


def _joined(symbols: list[str], pair: tuple[str, str], piece: str) -> list[str]:
    joined: list[str] = []
    position = 0
    while position < len(symbols):
        if symbols[position] == pair[0] and symbols[position + 1 : position + 2] == [pair[1]]:
            joined.append(piece)
            position += 2
        else:
            joined.append(symbols[position])
            position += 1
    return joined
