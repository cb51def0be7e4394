"""The page that shows every kind of teacher, and every kind of model that is none, from the report of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.teachers.kinds.accepted import ACCEPTED

_TEXT = """\
# Kinds of teacher

Each line is a small random teacher of the real architecture, made without a network and run through all stages
by `python -m experiments.teachers.kinds`. The cosine is the worst of our float32 vectors to those of
sentence-transformers' own `encode_query` and `encode_document` (where a folder has a prompt `passage` and none named
`document`, documents get it). The last column says what wrote the graph that the benchmark measured beside the bundle.

"""

_OTHERS = """
## Other sources

How each is used is in [use a server, an ONNX folder or vectors](../how-to/teachers.md). The last column names the
tests, in `tests/pipeline/`, that run it through all stages or hold its vectors to those of the model it comes from.

| source | what it needs | shown by |
| --- | --- | --- |
| a PEFT adapter (LoRA and its kin) whose model is a local folder | the extra `peft` | `test_adapter.py` |
| an ONNX folder, run by ONNX Runtime |  | `test_onnx_folder.py` |
| a server: `/v1/embeddings`, or `/embed` of text-embeddings-inference | its address | `test_endpoint.py` |
| vectors that exist already: .npy, .safetensors, .parquet | for Parquet, the extra `parquet` | `test_precomputed.py` |
| several of any kind together | what each needs | `test_ensemble.py`, `test_mixed_ensemble.py` |
"""

_REFUSED = """
## What is no teacher

Each of these was made too, and refused by the checks before the first stage (`pocketrank run RECIPE --check` makes them
alone) with this message.

"""


def page(report: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the page."""
    return _TEXT + _accepted(report["teachers"]) + _OTHERS + _REFUSED + _refused(report["refused"])


def _accepted(outcomes: Sequence[Mapping[str, Any]]) -> str:
    found = {outcome["kind"]: outcome for outcome in outcomes}
    lines = [
        "| architecture | pooling | weights | what is special | cosine | graph |",
        "| --- | --- | --- | --- | ---: | --- |",
    ]
    for kind in ACCEPTED:
        outcome = found[kind.name]
        cells = [kind.architecture, kind.pooling, kind.dtype, kind.source, f"{outcome['cosine']:.6f}"]
        graph = outcome["compared"].removeprefix("teacher by ").replace("|", "\\|")
        lines.append(f"| {' | '.join(cells)} | {graph} |")
    return "\n".join(lines) + "\n"


def _refused(refusals: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| what | key | message |", "| --- | --- | --- |"]
    for refusal in refusals:
        message = refusal["message"].replace("|", "\\|")
        lines.append(f"| {refusal['kind']} | `{refusal['key']}` | {message} |")
    return "\n".join(lines) + "\n"
