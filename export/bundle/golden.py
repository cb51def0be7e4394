"""The golden texts of a bundle: some of the corpus, and some that break careless code."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ...runtime.encoder import Encoder
from ...runtime.files import write_json
from ...runtime.golden import golden_mapping, make_golden
from ...runtime.manifest import GOLDEN_NAME
from ..check.parity import spread_texts
from ..check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES
from ..graph.schemes import Plan

CORPUS_TEXTS = 12
TEXT_CHARACTERS = 400


def tolerance(plan: Plan) -> float:
    """Return the largest difference of a coordinate that another processor or runtime may show.

    Activations are rounded while a quantized graph runs. Where the last bit of a sum decides between two codes, one
    code differs; where it moves the largest activation, all of them may (docs/how-to/open-a-bundle.md).
    """
    if {plan.linear, *plan.tensors.values()} & {"int7", "int4"}:
        return 1e-2
    return 1e-4 if "fp16" in plan.schemes else 2e-5


def golden_texts(corpus: Sequence[str]) -> list[str]:
    """Return the texts that are replayed: spread over `corpus` and cut short, then the hostile ones."""
    chosen = [text[:TEXT_CHARACTERS] for text in spread_texts(corpus, CORPUS_TEXTS)]
    return list(dict.fromkeys([*chosen, *TOKENIZER_EDGE_CASES]))


def write_golden(bundle: Path, plans: dict[str, Plan], default: str, corpus: Sequence[str]) -> None:
    """Run the golden texts through every variant of the folder `bundle` and write `golden.json`."""
    encoders = {name: Encoder.open(bundle, name) for name in plans}
    golden = make_golden(encoders, default, golden_texts(corpus), tolerance(plans[default]))
    allowed = {name: tolerance(plan) for name, plan in plans.items()} | {"scores": tolerance(plans[default])}
    write_json(bundle / GOLDEN_NAME, golden_mapping(dataclasses.replace(golden, tolerance=allowed)))
