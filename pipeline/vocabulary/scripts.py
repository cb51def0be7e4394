"""Rows of a vocabulary shared out among scripts, so that one with little text keeps some, and figures for each.

Learned together, rows go to what occurs most: in a corpus of ten languages a script with 1 % of the text gets less
than that. Here each script learns from its own words, and has rows by its share of the text to a power below one, as
multilingual models draw their training texts (Conneau and Lample, "XLM", 2019, with 0.5).
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from .wordpiece import SURPLUS, merge_pairs, piece_counts, prune, spellable

LEAST_SHARE = 0.001  # of the text; scripts with less share their rows as "other"
_KANA = {"hiragana", "katakana", "katakana-hiragana"}


def script(character: str) -> str:
    """Return the script of a letter or mark by its Unicode name, such as "latin" or "cjk"; "symbols" for the others."""
    if unicodedata.category(character)[0] not in "LM":
        return "symbols"
    name = unicodedata.name(character, "UNNAMED").split()[0].lower()
    return "kana" if name in _KANA else name


def word_script(word: str) -> str:
    """Return the script of a word's first letter."""
    return next((name for name in map(script, word) if name != "symbols"), "symbols")


def words_by_script(word_counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the words of each script, those with the most text first; scripts with little text together as "other"."""
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for word, count in word_counts.items():
        groups[word_script(word)][word] = count
    total = sum(map(_characters, groups.values()))
    together: dict[str, dict[str, int]] = defaultdict(dict)
    for name, words in groups.items():
        together[name if _characters(words) >= LEAST_SHARE * total else "other"] |= words
    return dict(sorted(together.items(), key=lambda item: (-_characters(item[1]), item[0])))


def learn_by_script(
    word_counts: Mapping[str, int], alphabet: Collection[str], sizes: Collection[int], smoothing: float
) -> dict[int, list[str]]:
    """Return for each size what `learn_pieces` returns, with rows for each script by its share.

    Shares are those of the text to the power `smoothing`. What a script cannot fill goes to the others. The alphabet
    comes first, whatever the shares.
    """
    groups = words_by_script(spellable(word_counts, alphabet))
    letters = Counter(_group(piece, groups) for piece in alphabet)
    shares = {name: _characters(words) ** smoothing for name, words in groups.items()}
    merged = {name: merge_pairs(words, alphabet, round(max(sizes) * SURPLUS)) for name, words in groups.items()}
    learned = {}
    for size in sizes:
        most = {name: letters[name] + len(pieces) for name, pieces in merged.items()}
        rows = share_rows(size - (len(alphabet) - sum(letters[name] for name in groups)), shares, letters, most)
        pieces = set[str]()
        for name, words in groups.items():
            room = max(rows[name] - letters[name], 0)
            kept = prune(words, alphabet, merged[name][: round(room * SURPLUS)], len(alphabet) + room)
            pieces |= set(kept) - set(alphabet)
        use = piece_counts(word_counts, pieces | set(alphabet))
        learned[size] = sorted(alphabet) + sorted(pieces, key=lambda piece: (-use[piece], piece))
    return learned


def share_rows(
    rows: int, shares: Mapping[str, float], least: Mapping[str, int], most: Mapping[str, int]
) -> dict[str, int]:
    """Return rows for each name by `shares`, at least `least` and at most `most` of each where `rows` allow it."""
    fixed: dict[str, int] = {}
    while free := [name for name in shares if name not in fixed]:
        room = max(rows - sum(fixed.values()), 0)
        total = sum(shares[name] for name in free)
        wanted = {name: int(room * shares[name] / total) for name in free}
        small = {name: least[name] for name in free if wanted[name] <= least[name]}
        full = {name: most[name] for name in free if wanted[name] >= most[name]}
        if not small and not full:
            return fixed | wanted
        fixed |= small or full
    return fixed


def script_figures(tokenizer_data: bytes, word_counts: Mapping[str, int], width: int) -> dict[str, dict[str, Any]]:
    """Return share of the text, rows and their bytes, tokens per word and unknown words, for each script."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_data)
    unknown = tokenizer.token_to_id("[UNK]")
    groups = words_by_script(word_counts)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    rows = Counter(_group(token, groups) for token in tokenizer.get_vocab() if token not in special)
    total = max(sum(map(_characters, groups.values())), 1)
    figures = {}
    for name, words in groups.items():
        distinct = list(words)
        cuts = [encoding.ids for encoding in tokenizer.encode_batch(distinct, add_special_tokens=False)]
        counted = list(zip(words.values(), cuts, strict=True))
        count = sum(words.values())
        figures[name] = {
            "share": round(_characters(words) / total, 5),
            "rows": rows[name],
            "table_bytes": rows[name] * width,
            "tokens_per_word": round(sum(times * len(ids) for times, ids in counted) / count, 4),
            "unknown_rate": round(sum(times for times, ids in counted if unknown in ids) / count, 6),
        }
    return figures


def _group(token: str, groups: Collection[str]) -> str:
    name = word_script(token)
    return name if name in groups else "other"


def _characters(words: Mapping[str, int]) -> int:
    return sum(len(word) * count for word, count in words.items())
