"""`[cross_encoder]`: a second teacher that reads query and document together."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class CrossEncoderSettings:
    """A model that reads query and document together, as a second teacher."""

    model: str = key(
        "", "A local folder or a hub id of a BERT-like cross-encoder with one output, in safetensors; empty: none."
    )
    revision: str = key("", "Hub id: a commit of 40 hexadecimal digits.")
    sha256: str = key("", "SHA-256 of `model.safetensors`, which is checked where it is given.")
    use: tuple[Literal["scores", "embeddings"], ...] = key(
        ("scores",),
        "`scores`: the list losses of `[distill.losses]` match its scores; `embeddings`: it is made dual-pooled and "
        "takes the place of the teacher.",
        not_empty=True,
    )
    max_length: int = key(
        0,
        "Query and document together are cut at this length; 0: the cross-encoder's own.",
        "tokens",
        minimum=0,
        maximum=1_000_000,
    )
    temperature: float = key(1.0, "Its scores are divided by this.", above=0.0, maximum=1e6)
    device: Literal["cpu", "cuda", "mps", "auto"] = key(
        "cpu", "What scores are computed on, as `distill.device`; its dual-pooled form is trained on the processor."
    )
    precision: Literal["fp32", "bf16"] = key("fp32", "Number format of its layers; as `teacher.precision`.")
    batch_tokens: int = key(4096, "Tokens of a batch, padding included.", "tokens", minimum=1, maximum=100_000_000)
    workers: int = key(0, "Scoring processes of one thread each; 0: one a core.", "processes", minimum=0, maximum=1024)
    queries: int = key(
        4000,
        "Training queries that get a list of documents, at most; judged ones first.",
        "queries",
        minimum=1,
        maximum=10_000_000,
    )
    candidates: int = key(8, "Documents of a list.", "documents", minimum=2, maximum=1000)
    drawn_candidates: int = key(
        2,
        "Documents of a list that are drawn at random, at most `candidates`; the others are the best of BM25.",
        "documents",
        minimum=0,
        maximum=1000,
    )
    dual_pooling_steps: int = key(
        200, "`embeddings`: steps of fine-tuning to two pooled vectors.", "steps", minimum=1, maximum=1_000_000_000
    )
    dual_pooling_queries: int = key(4, "`embeddings`: lists in a step.", "lists", minimum=1, maximum=10_000)
    dual_pooling_learning_rate: float = key(
        5e-5, "`embeddings`: learning rate of the fine-tuning.", above=0.0, maximum=10.0
    )
