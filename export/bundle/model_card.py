"""The model card: what the bundle is, what it keeps of its teacher, and how to use it without us."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...runtime.manifest import Figure

if TYPE_CHECKING:
    from .facts import BundleFacts

_EXAMPLE = """\
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({max_length})
session = onnxruntime.InferenceSession("onnx/{default}.onnx")


def encode(text):
    ids = np.array([tokenizer.encode(text).ids])
    inputs = {{"input_ids": ids, "attention_mask": np.ones_like(ids)}}
    return session.run(["sentence_embedding"], inputs)[0][0]


print(encode("one text") @ encode("another text"))  # cosine similarity: the vectors have length 1
"""


def model_card(facts: "BundleFacts", dimension: int, sizes: Mapping[str, int], default: str) -> str:
    """Return the card as Markdown; `sizes` are the bytes of every file but the card and the manifest."""
    shipped = sizes[f"onnx/{default}.onnx"] + sizes["tokenizer.json"]
    licence = facts.licences.get("weights", "unknown").lower()
    sections = [
        f"---\nlicense: {licence}\npipeline_tag: sentence-similarity\n"
        "tags: [onnx, sentence-embeddings, pocketrank]\n---",
        f"# {facts.name}",
        f"A small text encoder for search, distilled by pocketrank from `{facts.teacher.id}`. It makes vectors of "
        f"{dimension} dimensions and length 1 from texts of up to {facts.max_length} tokens. A device needs "
        f"`onnx/{default}.onnx` and `tokenizer.json`, {shipped:,} bytes together (ONNX Runtime not counted).",
        "## Quality\n\n" + _quality(facts.quality),
        "## Faithfulness of the files\n\n" + _figures(facts.parity, "Not compared."),
        "## Files\n\n" + _files(facts, sizes),
        "## Use\n\nWith `pip install numpy tokenizers onnxruntime`, in this folder:\n\n```python\n"
        + _EXAMPLE.format(max_length=facts.max_length, default=default)
        + "```",
        "## Space\n\n" + _space(facts, sizes),
        "## Licences\n\n" + "\n".join(f"- {what}: {name}" for what, name in sorted(facts.licences.items())),
    ]
    return "\n\n".join(sections) + "\n"


_METRICS = {"ndcg10": "nDCG@10", "ndcg10_retention": "of the teacher", "mrr10": "MRR@10", "recall100": "Recall@100"}


def _quality(figures: Mapping[str, Figure]) -> str:
    """Return one row for each way of ranking and one column for each metric, then what is neither."""
    if not figures:
        return "Not evaluated."
    longest_first = sorted(_METRICS, key=len, reverse=True)
    rows: dict[str, dict[str, float]] = {}
    methods: dict[str, str] = {}
    others: dict[str, Figure] = {}
    for name, figure in figures.items():
        metric = next((metric for metric in longest_first if name.startswith(f"{metric}_")), None)
        if metric is None:
            others[name] = figure
            continue
        ranking = name.removeprefix(f"{metric}_")
        rows.setdefault(ranking, {})[metric] = figure.value
        methods.setdefault(ranking, figure.method)
    lines = [f"| ranking | {' | '.join(_METRICS.values())} |", f"| --- |{' ---: |' * len(_METRICS)}"]
    for ranking, values in rows.items():
        cells = [f"{values[metric]:.4f}" if metric in values else "" for metric in _METRICS]
        lines.append(f"| {methods[ranking]} | {' | '.join(cells)} |")
    table = "\n".join(lines) if rows else ""
    return "\n\n".join(part for part in (table, _figures(others, "")) if part)


def _figures(figures: Mapping[str, Figure], absent: str) -> str:
    if not figures:
        return absent
    rows = [f"| {name} | {figure.value:.6g} {figure.unit} | {figure.method} |" for name, figure in figures.items()]
    return "\n".join(["| figure | value | how it was measured |", "| --- | --- | --- |", *rows])


def _files(facts: "BundleFacts", sizes: Mapping[str, int]) -> str:
    rows = []
    for name, size in sizes.items():
        variant = name.removeprefix("onnx/").removesuffix(".onnx").removesuffix(".ort")
        words = (facts.quantization.get(variant, ""), facts.notes.get(variant, ""))
        rows.append(f"| `{name}` | {size:,} | {'; '.join(part for part in words if part)} |")
    return "\n".join(["| file | bytes | |", "| --- | --- | --- |", *rows])


def _space(facts: "BundleFacts", sizes: Mapping[str, int]) -> str:
    if "projection.safetensors" not in sizes:
        return "The vectors live in a space of their own: encode documents with this model too."
    return (
        f"Documents encoded by `{facts.teacher.id}` enter the same space through `projection.safetensors` "
        "(`y = (x - mean) @ matrix`, scaled to length 1), so they need not be encoded again by this model."
    )
