"""Make `tokenizer.json` as small as the format allows while it stays the same tokenizer."""

import json
from collections.abc import Iterable
from typing import Any

from ...runtime.errors import InputError
from ...runtime.text.tokenizer_file import tokenizer_errors
from ..check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES

# Settings of a session, not of the tokenizer: the runtime cuts and pads by itself.
_SESSION_KEYS = ("truncation", "padding")


def compact_tokenizer(data: bytes) -> bytes:
    """Return the shortest `tokenizer.json` with the same meaning as `data`.

    White space goes, characters are written as themselves, padding and truncation are left out, and so are sections
    that are null. The order of keys is kept. Raises `InputError` when `data` is no tokenizer or when what comes out
    does not give the same ids on hostile texts.
    """
    content = parse_tokenizer(data)
    kept = {key: value for key, value in content.items() if value is not None and key not in _SESSION_KEYS}
    compact = json.dumps(kept, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    difference = first_difference(data, compact, TOKENIZER_EDGE_CASES)
    if difference is not None:
        raise InputError(f"tokenizer.json: {difference!r} is read differently after compaction; report this as a bug")
    return compact


def parse_tokenizer(data: bytes) -> dict[str, Any]:
    """Return the parsed content of a `tokenizer.json`; raise `InputError` when it is none."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise InputError(f"tokenizer.json is not valid JSON ({error}); make the vocabulary again") from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise InputError("tokenizer.json has no model; make the vocabulary again")
    return content


def first_difference(before: bytes, after: bytes, texts: Iterable[str]) -> str | None:
    """Return the first text that two tokenizer files do not read alike (ids, types, places), or `None`."""
    first, second = _open(before), _open(after)
    for text in texts:
        one, two = first.encode(text), second.encode(text)
        if (one.ids, one.type_ids, one.offsets) != (two.ids, two.type_ids, two.offsets):
            return text
    return None


def _open(data: bytes) -> Any:
    from tokenizers import Tokenizer

    with tokenizer_errors("tokenizer.json", "make the vocabulary again", InputError):
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_tokens(content: dict[str, Any]) -> dict[str, str]:
    """Return the roles that openers ask for (`pad_token`, …) of the tokens that the tokenizer marks as special."""
    roles = {
        "pad_token": ("[PAD]", "<pad>"),
        "unk_token": ("[UNK]", "<unk>"),
        "cls_token": ("[CLS]", "<s>"),
        "sep_token": ("[SEP]", "</s>"),
        "mask_token": ("[MASK]", "<mask>"),
    }
    known = {token["content"] for token in content.get("added_tokens") or [] if token.get("special")}
    tokens = {role: next((name for name in names if name in known), None) for role, names in roles.items()}
    return {role: name for role, name in tokens.items() if name is not None}
