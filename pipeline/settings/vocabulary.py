"""`[vocabulary]`: the tokens of a student."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class VocabularySettings:
    """The vocabulary made for the corpus."""

    kind: Literal["wordpiece", "unigram", "teacher"] = key(
        "wordpiece",
        "`wordpiece`, `unigram`: learned from the corpus; `teacher`: those of the teacher's own tokens that the corpus "
        "uses most.",
    )
    candidates: tuple[int, ...] = key(
        (4096, 6144, 8192),
        "Sizes to choose from by a score of query length, table bytes, split words and unknown words.",
        "tokens",
        minimum=1,
        maximum=1_000_000,
        not_empty=True,
    )
    size: int = key(0, "The size; 0: chosen among `candidates`.", "tokens", minimum=0, maximum=1_000_000)
    max_table_bytes: int = key(
        2_000_000,
        "Bytes of the token table, at most, counted at 8 bits a weight.",
        "bytes",
        minimum=1,
        maximum=1_000_000_000_000,
    )
    lowercase: bool = key(True, "Whether texts are converted to lower case.")
    strip_accents: bool = key(
        False,
        "Whether accents are dropped (é is e), as BERT does. For Latin, Greek and Cyrillic script only: elsewhere such "
        "marks are vowels and consonants.",
    )
    script_smoothing: float = key(
        1.0,
        "Scripts share the rows by their shares of the text to this power, so that those with little text keep some: "
        "0.5 for a corpus of several scripts, 0: alike; 1: all words are learned together. Not for `teacher`.",
        minimum=0.0,
        maximum=1.0,
    )
    min_character_share: float = key(
        1e-5,
        "Share of the corpus's characters below which a character becomes `[UNK]`; printable ASCII never does. With "
        "`script_smoothing` below 1, share of the characters of its own script.",
        minimum=0.0,
        maximum=1.0,
    )
