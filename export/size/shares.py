"""The bytes of the shipped files as one flat list, for reports."""

from dataclasses import dataclass
from pathlib import Path

from .explain import explain_path

_SMALL = 0.01  # of the file: parts below it are summed


@dataclass(frozen=True)
class Share:
    """A part of a shipped file."""

    file: str
    name: str
    bytes: int
    detail: str = ""


def shipped_shares(path: Path) -> list[Share]:
    """Return the parts of a bundle's default graph and tokenizer, the largest first; they add up to both files."""
    explained = explain_path(path)
    graph, name = explained.graph, explained.graph_name
    large = [tensor for tensor in graph.tensors if tensor.bytes >= _SMALL * graph.total]
    found = [
        Share(name, tensor.name, tensor.bytes, f"{tensor.type}, {' x '.join(map(str, tensor.shape)) or 'a number'}")
        for tensor in large
    ]
    small = sum(tensor.bytes for tensor in graph.tensors) - sum(tensor.bytes for tensor in large)
    nodes = sum(operator.bytes for operator in graph.operators)
    found.append(Share(name, f"{len(graph.tensors) - len(large)} smaller tensors", small))
    found.append(Share(name, "nodes", nodes, "what is computed, in which order"))
    found.append(Share(name, "inputs, outputs, framing", graph.rest))
    if explained.tokenizer is not None:
        tokenizer = explained.tokenizer
        parts = {key: size for key, size in tokenizer.parts.items() if size >= _SMALL * tokenizer.total}
        found += [Share("tokenizer.json", key, size) for key, size in parts.items()]
        rest = tokenizer.total - sum(parts.values())
        found.append(Share("tokenizer.json", "smaller settings and punctuation", rest))
    return sorted((share for share in found if share.bytes), key=lambda share: -share.bytes)
