"""`[evaluate]`: what is measured on the shipped file, and what it is compared with."""

from dataclasses import dataclass, field
from typing import Literal

from ...runtime.schema import describe, key


@dataclass(frozen=True)
class Model2vecSettings:
    """The static embeddings of model2vec that the bundle is compared with; each combination is measured."""

    dimensions: tuple[int, ...] = key(
        (256, 128, 64), "Dimensions of the vectors.", minimum=1, maximum=4096, not_empty=True
    )
    storage: tuple[Literal["float32", "float16", "int8"], ...] = key(("float16", "int8"), "Number formats of a table.")
    vocabularies: tuple[Literal["teacher", "corpus", "pruned"], ...] = key(
        ("teacher", "corpus", "pruned"),
        "`teacher`: the teacher's own; `corpus`: with the words of the corpus added; `pruned`: only the tokens that "
        "the corpus uses.",
    )
    clusters: tuple[int, ...] = key(
        (),
        "Vocabulary quantization: numbers of k-means clusters, with the largest dimension in int8; takes minutes.",
        "clusters",
        minimum=1,
        maximum=10_000_000,
    )


@dataclass(frozen=True)
class EvaluateSettings:
    """What is measured on the shipped file."""

    baselines: tuple[Literal["bm25", "fusion", "hybrid", "teacher-int8", "model2vec"], ...] = key(
        ("bm25", "fusion", "hybrid"),
        "Systems that the bundle is compared with. `fusion`: its scores and BM25 over all documents; `hybrid`: bundle "
        "and BM25 as `pocketrank search --hybrid` fuses them, and reciprocal rank fusion; `teacher-int8`: the "
        "quantized teacher, which encodes the corpus again; `model2vec`: static embeddings distilled from the teacher. "
        "The last two are expensive, and measured once for a teacher and a corpus.",
    )
    model2vec: Model2vecSettings = field(
        default_factory=Model2vecSettings, metadata=describe("The table `[evaluate.model2vec]`.")
    )
    reference: bool = key(True, "Whether to measure the fp32 graph too, which encodes the corpus once more.")
    stored_vectors: bool = key(True, "Whether to rank by document vectors stored in int8 and in bits too.")
    bootstrap: int = key(
        1000, "Resamples of the bootstrap intervals; 0: no intervals.", "resamples", minimum=0, maximum=1_000_000
    )
