"""What each tensor costs by itself in each scheme: bytes saved, cosine and ranking quality lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_json, write_json
from ...runtime.progress import Progress
from ...runtime.schema import from_mapping, to_mapping
from ..graph.schemes import FP32, Plan, Scheme, table_block
from ..graph.weights import TABLE, TransformerWeights
from .encode_ids import encode_ids
from .rounding import graph_names

SENSITIVITY_NAME = "sensitivity.json"
_OFFERED: Mapping[str, tuple[Scheme, ...]] = {
    "table": ("fp16", "int8", "int4"),
    "positions": ("fp16", "int8"),
    "linear": ("fp16", "int7", "int7-exact", "int4"),
}

# Ranking quality of a graph, by the mode of ranking ("symmetric", "asymmetric"); empty where nothing is judged.
Ranking = Callable[[bytes], Mapping[str, float]]


@dataclass(frozen=True)
class TensorLoss:
    """One tensor in one scheme, everything else in fp32."""

    tensor: str
    scheme: Scheme
    bytes: int  # in the file: values, scales and nodes
    bytes_saved: int  # against fp32
    cosine_loss: float  # 1 - mean cosine to the fp32 vectors
    ndcg10_loss: dict[str, float]  # nDCG@10 of the fp32 file minus that of this one; below zero by chance


@dataclass(frozen=True)
class Sensitivity:
    """The whole of `sensitivity.json`."""

    texts: int  # training texts that the cosine is measured on
    ranking: str  # in words: what nDCG@10 is measured on; empty: not measured
    fp32_bytes: int
    ndcg10: dict[str, float]  # of the fp32 file
    tensors: tuple[TensorLoss, ...]

    def find(self, tensor: str, scheme: str) -> TensorLoss | None:
        """Return the row of one tensor in one scheme."""
        return next((row for row in self.tensors if (row.tensor, row.scheme) == (tensor, scheme)), None)


def choosable(weights: TransformerWeights) -> dict[str, str]:
    """Return the graph's tensors that can have schemes of their own: name -> kind, in the order of the graph."""
    named = graph_names(weights.layers)
    return {named[name][0]: named[name][1] for name in named if name in weights.tensors}


def stored_bytes(weights: TransformerWeights) -> dict[str, int]:
    """Return the bytes of every choosable tensor in fp32."""
    sizes: dict[str, int] = {}
    for name, (tensor, kind) in graph_names(weights.layers).items():
        if name in weights.tensors:
            values = weights.positions() if kind == "positions" else weights.tensors[name]
            sizes[tensor] = sizes.get(tensor, 0) + 4 * values.size
    return sizes


def measure_sensitivity(
    weights: TransformerWeights,
    ids: Sequence[Sequence[int]],
    progress: Progress,
    ranking: Ranking | None = None,
    ranking_words: str = "",
) -> Sensitivity:
    """Quantize each tensor alone in each scheme and measure what it loses.

    `ids` are token ids of the training texts that vectors are compared on, `ranking` returns nDCG@10 of a graph. A
    table whose width cannot be stored in 4 bits has no such row.
    """
    from ..graph.writer import write_graph  # needs onnx; what was measured is read without it

    reference = write_graph(weights, FP32)
    expected = encode_ids(reference, ids)
    base = dict(ranking(reference)) if ranking else {}
    sizes = stored_bytes(weights)
    trials: list[tuple[str, Scheme]] = [
        (tensor, scheme) for tensor, kind in choosable(weights).items() for scheme in _schemes(weights, kind)
    ]
    rows = []
    with progress.task("sensitivity", len(trials), "trials") as task:
        for tensor, scheme in trials:
            data = write_graph(weights, Plan(tensors={tensor: scheme}))
            cosine = float((encode_ids(data, ids) * expected).sum(axis=1).mean())
            ndcg10 = ranking(data) if ranking else {}
            saved = len(reference) - len(data)
            losses = {name: _rounded(base[name] - value) for name, value in ndcg10.items()}
            lost = _rounded(max(0.0, 1 - cosine))
            rows.append(TensorLoss(tensor, scheme, sizes[tensor] - saved, saved, lost, losses))
            task.advance()
    shown = {name: _rounded(value) for name, value in base.items()}
    return Sensitivity(len(ids), ranking_words if ranking else "", len(reference), shown, tuple(rows))


def _schemes(weights: TransformerWeights, kind: str) -> list[Scheme]:
    offered = list(_OFFERED[kind])
    if kind == "table":
        try:
            table_block(weights.tensors[TABLE].shape[1])
        except InputError:
            offered.remove("int4")
    return offered


def write_sensitivity(path: Path, sensitivity: Sensitivity) -> None:
    """Write `sensitivity.json`."""
    write_json(path, to_mapping(sensitivity))


def read_sensitivity(path: Path) -> Sensitivity:
    """Read `sensitivity.json` strictly."""
    return from_mapping(Sensitivity, read_json(path), str(path))


def sensitivity_table(sensitivity: Sensitivity) -> str:
    """Return the table as Markdown, the cheapest saving first."""
    modes = list(sensitivity.ndcg10)
    heads = ["tensor", "scheme", "bytes", "bytes saved", "cosine lost", *(f"nDCG@10 lost, {mode}" for mode in modes)]
    lines = [f"| {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * (len(heads) - 2)}"]

    def cost(row: TensorLoss) -> tuple[float, str, str]:
        return row.cosine_loss / max(row.bytes_saved, 1), row.tensor, row.scheme

    for row in sorted(sensitivity.tensors, key=cost):
        cells = [row.tensor, row.scheme, f"{row.bytes:,}", f"{row.bytes_saved:,}", f"{row.cosine_loss:.6f}"]
        cells += [f"{row.ndcg10_loss[mode]:+.4f}" for mode in modes]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rounded(value: float) -> float:
    return float(f"{float(np.round(value, 9)):.6g}")
