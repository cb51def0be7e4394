"""`[distill]`: training."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key

_MOST_STEPS = 1_000_000_000


@dataclass(frozen=True)
class DistillSettings:
    """Training: losses, steps and checkpoints."""

    steps: int = key(2000, "Training steps.", "steps", minimum=1, maximum=_MOST_STEPS)
    batch_texts: int = key(64, "Texts of a batch.", "texts", minimum=1, maximum=65_536)
    shards: int = key(
        2,
        "Parts of a batch that are computed side by side. Part of the recipe, so that the bytes of a bundle do not "
        "depend on the number of cores.",
        minimum=1,
        maximum=256,
    )
    workers: int = key(
        0,
        "Processes that share the parts of a batch, at most; 0: one a core. The bytes do not depend on it.",
        "processes",
        minimum=0,
        maximum=1024,
    )
    device: Literal["cpu", "cuda", "mps", "auto"] = key(
        "cpu",
        "What training computes on; `auto`: an accelerator where there is one, else the processor. On an accelerator "
        "the bytes hold for its model and libraries alone.",
    )
    learning_rate: float = key(2e-3, "Largest learning rate, after the warm-up.", above=0.0, maximum=10.0)
    warmup_steps: int = key(
        100, "Steps in which the learning rate grows linearly from zero.", "steps", minimum=0, maximum=_MOST_STEPS
    )
    decay: Literal["linear", "cosine"] = key("linear", "How the learning rate falls to zero after the warm-up.")
    precision: Literal["fp32", "bf16"] = key(
        "fp32",
        "`bf16`: layers multiply matrices in bfloat16, about twice as fast on processors that do (AMX), slower on "
        "others.",
    )
    weight_decay: float = key(0.01, "Weight decay of AdamW, for matrices alone.", minimum=0.0, maximum=100.0)
    clip_norm: float = key(1.0, "Longer gradients are scaled down to this norm.", above=0.0, maximum=1e9)
    document_share: float = key(
        0.1, "Share of documents in a batch; the rest are query-like texts.", minimum=0.0, maximum=1.0
    )
    judged_share: float = key(
        0.0,
        "Share of judged training queries in a batch, with `document_share` at most 1; 0: as often as any other text.",
        minimum=0.0,
        maximum=1.0,
    )
    passage_share: float = key(
        0.0,
        "Share of passages in a batch, with the two other shares at most 1; 0: none are made. They are cut from what "
        "no model reads of long documents, at most a fourth as many as `queries.max_texts`.",
        minimum=0.0,
        maximum=1.0,
    )
    batch_lists: int = key(
        4,
        "Score lists of a cross-encoder in a batch, for list losses; their texts count among `batch_texts`.",
        "lists",
        minimum=1,
        maximum=65_536,
    )
    losses: dict[str, float] = key(
        {"cosine": 1.0, "similarity_matrix": 1.0, "corpus_kl": 0.2, "corpus_cross_entropy": 0.1},
        "Losses by name, each with its weight; a name with `_queries` or `_documents` behind it counts for texts of "
        "that role alone.",
        minimum=0.0,
        maximum=1e6,
        not_empty=True,
    )
    validation_texts: int = key(
        512,
        "Training texts held back for validation, at most, and at most a tenth; 0: no validation.",
        "texts",
        minimum=0,
        maximum=1_000_000,
    )
    checkpoint_seconds: int = key(
        30, "Time between two checkpoints: what an interruption costs, at most.", "seconds", minimum=0, maximum=10**9
    )
    quantize_aware_steps: int = key(
        0,
        "Further steps in which weights are rounded as `[quantize]` will store them (fake quantization).",
        "steps",
        minimum=0,
        maximum=_MOST_STEPS,
    )
    quantize_aware_learning_rate: float = key(
        3e-4, "Learning rate at the start of those steps; falls linearly to zero.", above=0.0, maximum=10.0
    )
