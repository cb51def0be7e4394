"""`[student]`: the shape and the start of the small encoder."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class StudentSettings:
    """The shape of the small encoder."""

    kind: Literal["transformer", "static"] = key(
        "transformer",
        "`transformer`: a small BERT; `static`: a table of token vectors with learned weights, `hidden` wide, without "
        "`layers`, `heads` and `intermediate`.",
    )
    layers: int = key(2, "Transformer layers.", minimum=1, maximum=64)
    hidden: int = key(
        192,
        "Width of the token vectors; a multiple of `heads`, of a static student at most `teacher.dimension`.",
        minimum=1,
        maximum=4096,
    )
    heads: int = key(6, "Attention heads of a layer.", minimum=1, maximum=256)
    intermediate: int = key(768, "Width of the feed-forward layer.", minimum=1, maximum=16_384)
    table_rank: int = key(
        0,
        "Above 0: the token table is a product of two trained factors, tokens x rank and rank x hidden; below "
        "`hidden`. 0: a full table.",
        minimum=0,
        maximum=4095,
    )
    max_length: int = key(
        256, "Texts are cut at this length, `[CLS]` and `[SEP]` included.", "tokens", minimum=3, maximum=8192
    )
    initialise: Literal["auto", "general", "teacher", "random"] = key(
        "auto",
        "First weights: `general`: of a student pretrained on plain English; `teacher`: of the teacher's token vectors "
        "and layers; `random`; `auto`: the general student where it spells nine tenths of the vocabulary, else "
        "whichever of it and the teacher spells more, at random where neither spells half. A static student starts "
        "from the teacher or at random.",
    )
    general: str = key("", "Folder of the pretrained student with its tokenizer.json; empty: the packaged one.")
