"""`[queries]`: the texts that a student is trained on."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class QueriesSettings:
    """Which texts the student is trained on besides the documents themselves."""

    kinds: tuple[Literal["sentence", "crop", "title", "keywords", "query"], ...] = key(
        ("sentence", "crop", "title", "keywords", "query"),
        "Kinds of training texts; each gets an equal share of `max_texts`. Made from the documents: `sentence`, `crop` "
        "(a run of 3 to 20 words), `title`, `keywords` (2 to 5 words of large tf-idf weight). `query`: the judged "
        "queries of the training split.",
    )
    templates: tuple[str, ...] = key(
        (),
        "Patterns that people ask in, each with exactly one of `{title}`, `{sentence}`, `{phrase}`, `{name}`, which is "
        "replaced by a part of a document; they are one more kind of training text.",
    )
    files: tuple[str, ...] = key((), "Text files with more texts to train on, one a line, such as a log of queries.")
    per_document: int = key(3, "Generated texts per document and kind, at most.", "texts", minimum=0, maximum=100_000)
    max_texts: int = key(
        40_000, "Training texts in all, documents included, at most.", "texts", minimum=1, maximum=1_000_000_000
    )
    words: Literal["pieces", "budoux"] = key(
        "pieces",
        "How generated texts are cut into words where a script has no spaces: `pieces` of about a word's length, or "
        "`budoux`, a library that finds words and phrases of Chinese, Japanese and Thai (extra `segment`).",
    )
    term_dropout: float = key(0.0, "Probability that a word of a generated text is left out.", minimum=0.0, maximum=1.0)
    noise: float = key(
        0.0,
        "Probability that a generated text gets another case, loses its punctuation or gets typing errors.",
        minimum=0.0,
        maximum=1.0,
    )
    noise_target: Literal["clean", "own"] = key(
        "clean",
        "Teacher vector that a text with words left out or with noise is trained towards: that of the `clean` text, or "
        "its `own`.",
    )
