"""Explain the bytes of a bundle or of an ONNX file: tensors, operators, tokenizer; every list adds up to the file.

example:
  pocketrank inspect runs/pydocs/bundle
"""

import argparse

from ..runtime.packaged import bundle_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", type=bundle_path, help="a bundle's folder, general-english, or an ONNX file")
    parser.add_argument("--tensors", type=int, default=12, metavar="N", help="tensors to list (default 12; 0: all)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Explain and print."""
    import dataclasses

    from ..export.size.explain import explain_path
    from ..export.size.size_reductions import BASIS, MEASURED_BASIS
    from .output import print_json, print_line, print_table

    explained = explain_path(arguments.path)
    if arguments.json:
        content = dataclasses.asdict(explained)
        content["graph"]["table"] = explained.graph.table
        print_json(content)
        return 0

    graph, tokenizer = explained.graph, explained.tokenizer

    def share(part: int, whole: int) -> str:
        return f"{part / whole:.1%}" if whole else ""

    listed = graph.tensors[: arguments.tensors] if arguments.tensors > 0 else graph.tensors
    others = graph.tensors[len(listed) :]
    rows: list[tuple[object, ...]] = [
        (
            tensor.name,
            tensor.type,
            "x".join(map(str, tensor.shape)),
            f"{tensor.bytes:,}",
            share(tensor.bytes, graph.total),
        )
        for tensor in listed
    ]
    if others:
        rest = sum(tensor.bytes for tensor in others)
        rows.append((f"{len(others)} smaller tensors", "", "", f"{rest:,}", share(rest, graph.total)))
    nodes = sum(operator.bytes for operator in graph.operators)
    rows.append(("nodes", "", "", f"{nodes:,}", share(nodes, graph.total)))
    rows.append(("inputs, outputs, framing", "", "", f"{graph.rest:,}", share(graph.rest, graph.total)))
    rows.append(("total = the file", "", "", f"{graph.total:,}", "100.0%"))
    note = f"token table: {graph.table:,} bytes, {share(graph.table, graph.total)} of the file"
    print_table(explained.graph_name, ("tensor", "type", "shape", "bytes", "share"), rows, note)

    print_table(
        "by operator",
        ("operator", "nodes", "bytes of the nodes", "bytes of their tensors"),
        [(item.operator, item.nodes, f"{item.bytes:,}", f"{item.tensors:,}") for item in graph.operators],
    )
    if tokenizer is not None:
        parts = [(name, f"{size:,}", share(size, tokenizer.total)) for name, size in tokenizer.parts.items()]
        parts.append(("keys and punctuation", f"{tokenizer.rest:,}", share(tokenizer.rest, tokenizer.total)))
        parts.append(("total = the file", f"{tokenizer.total:,}", "100.0%"))
        print_table("tokenizer.json", ("part", "bytes", "share"), parts)
        files = [(name, f"{size:,}") for name, size in explained.files.items()]
        files.append(("total = the folder", f"{explained.total:,}"))
        shipped = f"shipped to a device: {graph.total + tokenizer.total:,} bytes (ONNX Runtime itself not counted)"
        print_table("files", ("file", "bytes"), files, shipped)
    if explained.size_reductions:
        size_reductions = [(item.action, f"{item.bytes:,}", item.cost) for item in explained.size_reductions]
        basis = MEASURED_BASIS if explained.costs_measured else BASIS
        print_table("what would save more, the best first", ("change", "bytes saved", "cost"), size_reductions, basis)
    else:
        print_line("Nothing is left to save by storing tensors in fewer bits.")
    return 0
