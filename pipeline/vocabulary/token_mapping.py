"""How the tokens of one vocabulary are spelled in the tokens of another.

Vocabularies mark where a word begins in three ways: WordPiece marks the tokens that do not begin one (`##ing`),
Unigram and BPE of the SentencePiece family put `▁` before those that do, byte-level BPE (RoBERTa, GPT-2) puts `Ġ`.
"""

from collections.abc import Sequence
from typing import Any

_SPECIAL = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}


class Speller:
    """Spells tokens with the ids of a fast tokenizer (the `tokenizers` object, without padding and truncation)."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._known: dict[str, int] = backend.get_vocab()
        marks = [mark for mark in ("▁", "Ġ", "##") if any(token.startswith(mark) for token in self._known)]
        self._mark = marks[0] if marks else ""

    def spell(self, text: str, begins_word: bool) -> list[int]:
        """Return the ids for `text` at the beginning of a word or inside one; empty where nothing spells it."""
        whole = self._known.get(self._marked(text, begins_word))
        if whole is not None:
            return [whole]
        # Byte-level tokenizers take the space before a word for its mark.
        encoding = self._backend.encode(
            f" {text}" if self._mark == "Ġ" and begins_word else text, add_special_tokens=False
        )
        ids: list[int] = list(encoding.ids)
        tokens: list[str] = list(encoding.tokens)
        if not ids or begins_word:
            return ids
        if self._mark == "##":
            return [self._known.get(f"##{tokens[0]}", ids[0]), *ids[1:]]
        if self._mark and tokens[0].startswith(self._mark):  # the tokenizer put a space in front by itself
            rest = tokens[0].removeprefix(self._mark)
            return [self._known.get(rest, ids[0]), *ids[1:]] if rest else ids[1:] or ids
        return ids

    def special(self, token: str) -> list[int] | None:
        """Return the ids of a special token of ours, `None` for any other token."""
        if token not in _SPECIAL:
            return None
        name = token if token in self._known else _SPECIAL[token]
        return [self._known[name]] if name in self._known else []

    def _marked(self, text: str, begins_word: bool) -> str:
        if self._mark == "##":
            return text if begins_word else f"##{text}"
        if self._mark == "Ġ":
            text = byte_level(text)
        return f"{self._mark}{text}" if begins_word else text


def read_token(token: str, continues: bool) -> tuple[str, bool]:
    """Return a token's text and whether it begins a word; `continues`: its vocabulary marks what does not (`##`)."""
    if token.startswith("##") and len(token) > 2:
        return token[2:], False
    if token.startswith("▁"):
        return token.replace("▁", " ").strip(), True
    return token, continues


def spell_all(backend: Any, tokens: Sequence[str]) -> list[list[int]]:
    """Return the ids that spell every token, in order."""
    speller = Speller(backend)
    continues = any(token.startswith("##") for token in tokens) or not any(token.startswith("▁") for token in tokens)
    spelled = []
    for token in tokens:
        special = speller.special(token)
        spelled.append(speller.spell(*read_token(token, continues)) if special is None else special)
    return spelled


def token_texts(tokens: Sequence[str]) -> list[str]:
    """Return every token as a text without the marks of its vocabulary; special tokens are empty."""
    return ["" if token in _SPECIAL else read_token(token, True)[0] for token in tokens]


def byte_level(text: str) -> str:
    """Return `text` in the alphabet of byte-level BPE, where every byte is one printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + position) for position, byte in enumerate(others)
    }
    return "".join(letters[byte] for byte in text.encode("utf-8", "replace"))
