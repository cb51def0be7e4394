"""Explain the bytes of a bundle or of an ONNX file: tensors, operators, tokenizer; every list adds up to the file.

example:
  pocketrank inspect runs/pydocs/bundle
"""

import argparse
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path

if TYPE_CHECKING:
    from ..export.size.records import BundleBytes, GraphBytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", type=bundle_path, help="a bundle's folder, general-english, or an ONNX file")
    parser.add_argument("--tensors", type=int, default=12, metavar="N", help="tensors to list (default 12; 0: all)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Explain and print."""
    import dataclasses

    from ..export.size.explain import explain_path
    from .output import print_json

    explained = explain_path(arguments.path)
    if arguments.json:
        content = dataclasses.asdict(explained)
        content["graph"]["table"] = explained.graph.table
        print_json(content)
        return 0
    _print_graph(explained.graph_name, explained.graph, arguments.tensors)
    _print_files(explained)
    _print_reductions(explained)
    return 0


def _print_graph(name: str, graph: "GraphBytes", count: int) -> None:
    """Print the `count` largest tensors (0: all) and what is beside them, then the operators."""
    from .output import print_table

    listed = graph.tensors[:count] if count > 0 else graph.tensors
    others = graph.tensors[len(listed) :]
    parts = [(tensor.name, tensor.type, "x".join(map(str, tensor.shape)), tensor.bytes) for tensor in listed]
    if others:
        parts.append((f"{len(others)} smaller tensors", "", "", sum(tensor.bytes for tensor in others)))
    parts.append(("nodes", "", "", sum(operator.bytes for operator in graph.operators)))
    parts.append(("inputs, outputs, framing", "", "", graph.rest))
    parts.append(("total = the file", "", "", graph.total))
    rows = [(*labels, f"{size:,}", _share(size, graph.total)) for *labels, size in parts]
    note = f"token table: {graph.table:,} bytes, {_share(graph.table, graph.total)} of the file"
    print_table(name, ("tensor", "type", "shape", "bytes", "share"), rows, note)
    print_table(
        "by operator",
        ("operator", "nodes", "bytes of the nodes", "bytes of their tensors"),
        [(item.operator, item.nodes, f"{item.bytes:,}", f"{item.tensors:,}") for item in graph.operators],
    )


def _print_files(explained: "BundleBytes") -> None:
    """Print the parts of the tokenizer and all files, where there is more than a graph."""
    from .output import print_table

    graph, tokenizer = explained.graph, explained.tokenizer
    if tokenizer is None:
        return
    parts = [*tokenizer.parts.items(), ("keys and punctuation", tokenizer.rest), ("total = the file", tokenizer.total)]
    rows = [(name, f"{size:,}", _share(size, tokenizer.total)) for name, size in parts]
    print_table("tokenizer.json", ("part", "bytes", "share"), rows)
    files = [(name, f"{size:,}") for name, size in (*explained.files.items(), ("total = the folder", explained.total))]
    shipped = f"shipped to a device: {graph.total + tokenizer.total:,} bytes (ONNX Runtime itself not counted)"
    print_table("files", ("file", "bytes"), files, shipped)


def _print_reductions(explained: "BundleBytes") -> None:
    """Print what would make the files smaller."""
    from ..export.size.size_reductions import BASIS, MEASURED_BASIS
    from .output import print_line, print_table

    if not explained.size_reductions:
        print_line("Nothing is left to save by storing tensors in fewer bits.")
        return
    rows = [(item.action, f"{item.bytes:,}", item.cost) for item in explained.size_reductions]
    basis = MEASURED_BASIS if explained.costs_measured else BASIS
    print_table("what would save more, the best first", ("change", "bytes saved", "cost"), rows, basis)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
