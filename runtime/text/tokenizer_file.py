"""`tokenizer.json`: which parts it may have, and the tokenizer that it opens as.

The library `tokenizers` takes files whose parts multiply a text until memory ends, or that abort the process. Only the
parts that pocketrank itself writes are handed to it, in sizes that keep every text's time and memory within bounds:

    normalizer       BertNormalizer, before it at most one NFKC, and Replace of one character by up to three others
    pre-tokenizer    BertPreTokenizer, behind it Split at symbols, and Metaspace
    model            WordPiece; Unigram without bytes as fallback
    post-processor   a template of up to 16 parts, a token each
    decoder          WordPiece, Metaspace

Padding and truncation of the file are not used.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError, PocketrankError, VerificationError
from ..files import is_list, is_object, parse_json, read_text

CHARACTERS_PER_TOKEN = 128  # beyond max_length times this, a text is not read
MOST_BYTES = 32_000_000  # of the file
MOST_TOKENS = 1_000_000
LONGEST_TOKEN = 256  # characters; of Unigram's tokens and of added ones
LONGEST_WORD = 200  # characters that WordPiece looks at; its time grows with their square
MOST_GROWTH = 64
MOST_PARTS = 256  # of a normalizer
TEMPLATE_PARTS = 16

_VERIFY = "run `pocketrank verify` on the bundle"
_SURROGATE = re.compile("[\ud800-\udfff]")

_Keys = Mapping[str, Callable[[Any], bool]]


class TextTokenizer:
    """A tokenizer of a bundle: texts in, token ids out, in bounded time and memory whatever the text."""

    def __init__(self, path: Path, max_length: int, *, known_parts: bool = True) -> None:
        """Open the file at `path`; raises what `open_tokenizer` raises.

        A teacher's own tokenizer, which is trusted as the teacher is, need not be of `known_parts` alone.
        """
        self.path, self.max_length = path, max_length
        self._limit = max_length * CHARACTERS_PER_TOKEN
        self._known_parts = known_parts
        self._tokenizer = open_tokenizer(path, known_parts=known_parts)
        self._tokenizer.enable_truncation(max_length)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the caller decides how many processes run

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at most `max_length`, [CLS] and [SEP] included."""
        with tokenizer_errors(self.path):
            return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(self._readable(texts))]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, [CLS] and [SEP] not counted.

        This and `token_starts` read whole texts; give them short ones.
        """
        with tokenizer_errors(self.path):
            found = self._untruncated.encode_batch_fast(_decodable(texts), add_special_tokens=False)
            return [len(encoding.ids) for encoding in found]

    def token_starts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return where each token of each text begins, [CLS] and [SEP] left out."""
        with tokenizer_errors(self.path):
            found = self._untruncated.encode_batch(_decodable(texts), add_special_tokens=False)
            return [[start for start, _ in encoding.offsets] for encoding in found]

    @property
    def added_tokens(self) -> int:
        """How many tokens every text gets besides its own: [CLS] and [SEP]."""
        return int(self._tokenizer.num_special_tokens_to_add(False))

    @cached_property
    def _untruncated(self) -> Any:
        return open_tokenizer(self.path, known_parts=self._known_parts)

    def unknown_words(self, texts: Sequence[str]) -> tuple[int, int]:
        """Return how many words of the texts are unknown to the vocabulary, and how many there are."""
        unknown = self._tokenizer.token_to_id("[UNK]")
        counts = [0, 0]
        with tokenizer_errors(self.path):
            for encoding in self._tokenizer.encode_batch(self._readable(texts)):
                words = list(zip(encoding.sequence_ids, encoding.word_ids, encoding.ids, strict=True))
                counts[0] += len({word for part, word, token in words if part is not None and token == unknown})
                counts[1] += len({word for part, word, _ in words if part is not None})
        return counts[0], counts[1]

    def _readable(self, texts: Sequence[str]) -> list[str]:
        return _decodable([text[: self._limit] for text in texts])


def _decodable(texts: Sequence[str]) -> list[str]:
    return [_SURROGATE.sub("\ufffd", text) for text in texts]


def open_tokenizer(
    path: Path, advice: str = _VERIFY, kind: type[PocketrankError] = VerificationError, *, known_parts: bool = True
) -> Any:
    """Open a `tokenizer.json` of known parts, without padding and truncation.

    Raises an error of `kind` in one line, which ends in `advice`, when it has other parts or does not open.
    """
    from tokenizers import Tokenizer

    text = read_tokenizer(path, advice, kind) if known_parts else read_text(path)
    with tokenizer_errors(path, advice, kind):
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode("a")  # some mistakes in the file only show here
    return tokenizer


def read_tokenizer(path: Path, advice: str = _VERIFY, kind: type[PocketrankError] = VerificationError) -> str:
    """Return the text of a `tokenizer.json` of known parts, which may be opened; raise what `open_tokenizer` raises."""
    text = read_text(path, MOST_BYTES)
    content = parse_json(text, path, unique=True)
    with tokenizer_errors(path, advice, kind):
        check_tokenizer(content)
    return text


@contextmanager
def tokenizer_errors(
    name: Path | str, advice: str = _VERIFY, kind: type[PocketrankError] = VerificationError
) -> Generator[None, None, None]:
    """Turn what goes wrong inside `tokenizers` into an error of `kind`, in one line that starts with `name`.

    The library raises `Exception` itself, and panics (a `BaseException`) on files that contradict themselves.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:300]
        raise kind(f"{name} is no working tokenizer: {reason}; {advice}") from error


def check_tokenizer(content: Any) -> None:
    """Raise `ValueError` unless `content`, a parsed `tokenizer.json`, has known parts of bounded size alone."""
    if not is_object(content):
        raise ValueError("it is no JSON object")
    unknown = content.keys() - _SECTIONS.keys() - {"version", "padding", "truncation"}
    if unknown:
        raise ValueError(f"it has the unknown section {_shown(min(unknown))}")
    if not is_object(content.get("model")):
        raise ValueError("it has no model")
    for name, check in _SECTIONS.items():
        if content.get(name) is not None:
            check(content[name])


def check_growth(path: Path) -> None:
    """Refuse a tokenizer of somebody else's that makes much of a little; its parts may be any.

    Replacements must not multiply a text by more than `MOST_GROWTH` together, a template not add more tokens than that.
    Raises `InputError`.
    """
    content = parse_json(read_text(path), path)
    growth, added = 1, 0
    for part in _all_parts(content):
        if part.get("type") == "Replace" and isinstance(part.get("content"), str):
            growth = min(growth * max(1, len(part["content"])), MOST_GROWTH + 1)
        if part.get("type") == "TemplateProcessing":
            pieces = [*_items(part.get("single")), *_items(part.get("pair")), *_items(part.get("special_tokens"))]
            added += len(pieces) + sum(len(_items(piece.get("ids"))) for piece in pieces if is_object(piece))
    if growth > MOST_GROWTH or added > MOST_GROWTH:
        raise InputError(f"{path} makes of a text more than {MOST_GROWTH} times as much; take the model's own file")


def _all_parts(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the normalizers and post-processors of a file, those in sequences too."""
    waiting = [content.get("normalizer"), content.get("post_processor")] if is_object(content) else []
    while waiting:
        part = waiting.pop()
        if is_object(part):
            yield part
            waiting += [*_items(part.get("normalizers")), *_items(part.get("processors"))]


def _items(value: Any) -> list[Any]:
    return value if is_list(value) else list(value.values()) if is_object(value) else []


def _shown(value: object) -> str:
    return repr(value)[:100] if isinstance(value, str) else f"a {type(value).__name__}"


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _flag_or_null(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 16


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 31


def _one_character(value: Any) -> bool:
    return (
        is_object(value)
        and value.keys() == {"String"}
        and isinstance(value["String"], str)
        and len(value["String"]) == 1
    )


def _few_characters(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 3


_NORMALIZERS: Mapping[str, _Keys] = {
    "NFKC": {},
    "Replace": {"pattern": _one_character, "content": _few_characters},
    "BertNormalizer": {
        "clean_text": _flag,
        "handle_chinese_chars": _flag,
        "strip_accents": _flag_or_null,
        "lowercase": _flag,
    },
}
_METASPACE: _Keys = {"replacement": _short, "prepend_scheme": _short, "split": _flag}
_AT_SYMBOLS: _Keys = {
    "pattern": lambda value: value == {"Regex": r"\p{S}"},
    "behavior": lambda value: value == "Isolated",
    "invert": lambda value: value is False,
}
_PRE_TOKENIZERS: Mapping[str, _Keys] = {"BertPreTokenizer": {}, "Split": _AT_SYMBOLS, "Metaspace": _METASPACE}
_DECODERS: Mapping[str, _Keys] = {"WordPiece": {"prefix": _short, "cleanup": _flag}, "Metaspace": _METASPACE}
_MODELS: Mapping[str, _Keys] = {
    "WordPiece": {
        "unk_token": _short,
        "continuing_subword_prefix": _short,
        "max_input_chars_per_word": lambda value: _count(value) and value <= LONGEST_WORD,
        "vocab": lambda value: is_object(value) and len(value) <= MOST_TOKENS and all(map(_count, value.values())),
    },
    "Unigram": {
        "unk_id": _count,
        "byte_fallback": lambda value: value is False,
        "vocab": lambda value: is_list(value) and len(value) <= MOST_TOKENS and all(map(_scored, value)),
    },
}
_ADDED: _Keys = {
    "id": _count,
    "content": lambda value: isinstance(value, str) and 0 < len(value) <= LONGEST_TOKEN,
    **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), _flag),
}


def _scored(value: Any) -> bool:
    if not is_list(value) or len(value) != 2:
        return False
    token, score = value
    return isinstance(token, str) and len(token) <= LONGEST_TOKEN and type(score) in (int, float)


def _check_part(value: Any, known: Mapping[str, _Keys], what: str) -> str:
    """Check one part against the kinds that are `known`, and return its kind."""
    kind = value.get("type") if is_object(value) else None
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"its {what} {_shown(kind)} is none of {', '.join(known)}")
    _check_keys({key: item for key, item in value.items() if key != "type"}, known[kind], f"{what} {kind}")
    return kind


def _check_keys(value: Mapping[str, Any], keys: _Keys, what: str) -> None:
    for key, item in value.items():
        if key not in keys or not keys[key](item):
            raise ValueError(f"the {what} has another {_shown(key)} than it may have")


def _parts(value: Any, key: str) -> list[Any]:
    """Return the parts of a sequence, or the part alone."""
    if not is_object(value) or value.get("type") != "Sequence":
        return [value]
    parts = value.get(key)
    if not is_list(parts) or len(parts) > MOST_PARTS or value.keys() != {"type", key}:
        raise ValueError(f"its sequence of {key} is no list of at most {MOST_PARTS}")
    return parts


def _check_normalizer(value: Any) -> None:
    parts = _parts(value, "normalizers")
    kinds = [_check_part(part, _NORMALIZERS, "normalizer") for part in parts]
    replaced = [part["pattern"]["String"] for part, kind in zip(parts, kinds, strict=True) if kind == "Replace"]
    put = {letter for part, kind in zip(parts, kinds, strict=True) if kind == "Replace" for letter in part["content"]}
    # What one part puts in, no other may multiply again.
    if kinds.count("NFKC") > 1 or len(set(replaced)) != len(replaced) or put & set(replaced):
        raise ValueError("parts of its normalizer work on what others have put in")


def _check_pre_tokenizer(value: Any) -> None:
    for part in _parts(value, "pretokenizers"):
        _check_part(part, _PRE_TOKENIZERS, "pre-tokenizer")


def _check_added(value: Any) -> None:
    if not is_list(value) or len(value) > MOST_TOKENS:
        raise ValueError("its added tokens are no list")
    for token in value:
        if not is_object(token):
            raise ValueError("an added token is no object")
        _check_keys(token, _ADDED, "added token")


def _check_template(value: Any) -> None:
    keys = {"single": _pieces, "pair": _pieces, "special_tokens": _special_tokens}
    _check_part(value, {"TemplateProcessing": keys}, "post-processor")


def _pieces(value: Any) -> bool:
    return is_list(value) and len(value) <= TEMPLATE_PARTS and all(map(is_object, value))


def _special_tokens(value: Any) -> bool:
    if not is_object(value) or len(value) > TEMPLATE_PARTS:
        return False
    lists = [token.get(key) for token in value.values() if is_object(token) for key in ("ids", "tokens")]
    return len(lists) == 2 * len(value) and all(is_list(items) and len(items) == 1 for items in lists)


_SECTIONS: Mapping[str, Callable[[Any], object]] = {
    "added_tokens": _check_added,
    "normalizer": _check_normalizer,
    "pre_tokenizer": _check_pre_tokenizer,
    "post_processor": _check_template,
    "decoder": lambda value: _check_part(value, _DECODERS, "decoder"),
    "model": lambda value: _check_part(value, _MODELS, "model"),
}
