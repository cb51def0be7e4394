"""Where the bytes of an ONNX file, a tokenizer and a bundle go. Every listing adds up to the file exactly."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import folder_sizes, read_bytes
from ...runtime.graph_reader import ELEMENT_TYPES, TENSOR_NAME, Message, operator_name
from .records import BundleBytes, GraphBytes, OperatorBytes, SizeItem, TensorBytes, TokenizerBytes

# Field numbers of onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_DIMENSION, _TENSOR_TYPE = 1, 2
_TENSOR_VALUES = (4, 5, 6, 7, 9, 10, 11)
_TYPES = ELEMENT_TYPES | {21: "uint4", 22: "int4"}
_PASSING = ("Cast", "DequantizeLinear", "Identity", "Sub", "Mul", "Transpose", "Reshape", "QuantizeLinear")
_LOOKUPS = {"Gather": (0, 1), "GatherBlockQuantized": (0, 1), "EmbedLayerNormalization": (2, 0)}
_SMALL = 0.01  # of the file: parts below it are summed in a breakdown
_LOOKUPS["QEmbedLayerNormalization"] = _LOOKUPS["EmbedLayerNormalization"]


def explain_graph(data: bytes, name: str = "the file") -> GraphBytes:
    """Return where the bytes of an ONNX file go; raise `InputError` when it is none."""
    try:
        return _explain(memoryview(data))
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} is not a whole ONNX file: {error}; export it again") from None


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: list[str]
    outputs: list[str]
    size: int


def _explain(view: memoryview) -> GraphBytes:
    graph = Message(view).one(_GRAPH, "graphs")
    nodes = [
        _Node(operator_name(node), node.texts(_NODE_INPUT), node.texts(_NODE_OUTPUT), _framed(node.length))
        for node in graph.messages(_NODE)
    ]
    readers = {name: node for node in reversed(nodes) for name in node.inputs}
    per_token = _per_token(nodes)
    tensors = [_tensor(tensor, readers, per_token) for tensor in graph.messages(_INITIALIZER)]
    names = sorted({node.operator for node in nodes})
    operators = [
        OperatorBytes(
            operator=name,
            nodes=sum(node.operator == name for node in nodes),
            bytes=sum(node.size for node in nodes if node.operator == name),
            tensors=sum(tensor.bytes for tensor in tensors if tensor.operator == name),
        )
        for name in names
    ]
    described = sum(tensor.bytes for tensor in tensors) + sum(operator.bytes for operator in operators)
    return GraphBytes(
        total=len(view),
        tensors=tuple(sorted(tensors, key=lambda tensor: (-tensor.bytes, tensor.name))),
        operators=tuple(
            sorted(operators, key=lambda operator: (-operator.tensors - operator.bytes, operator.operator))
        ),
        rest=len(view) - described,
    )


def _tensor(tensor: Message, readers: Mapping[str, _Node], per_token: set[str]) -> TensorBytes:
    name, kind = tensor.text(TENSOR_NAME), tensor.integer(_TENSOR_TYPE)
    stored = [value for number in _TENSOR_VALUES for value in tensor.values(number) if not isinstance(value, int)]
    values = sum(map(len, stored))
    return TensorBytes(
        name,
        _TYPES.get(kind, f"type {kind}"),
        tuple(tensor.integers(_TENSOR_DIMENSION)),
        values,
        _framed(tensor.length) - values,
        _reader(name, readers),
        name in per_token,
    )


def _framed(length: int) -> int:
    """Return the bytes of a message of `length` together with its key and its length."""
    return length + 1 + max(1, math.ceil(length.bit_length() / 7))


def _reader(name: str, readers: Mapping[str, _Node]) -> str:
    """Return the operator that uses a tensor; steps that only widen or scale it are passed over."""
    operator = "none"
    for _ in range(8):
        node = readers.get(name)
        if node is None:
            break
        operator = node.operator
        if operator not in _PASSING or not node.outputs:
            break
        name = node.outputs[0]
    return operator


def _per_token(nodes: list[_Node]) -> set[str]:
    """Return the names of the tensors that are looked up by token id."""
    made_by = {output: node for node in nodes for output in node.outputs}
    looked_up: set[str] = set()
    for node in nodes:
        positions = _LOOKUPS.get(node.operator.rpartition(":")[2])
        if positions is None or len(node.inputs) <= max(positions):
            continue
        if "input_ids" in _sources(node.inputs[positions[1]], made_by):
            looked_up |= _sources(node.inputs[positions[0]], made_by)
            if node.operator.endswith("GatherBlockQuantized"):
                looked_up |= {source for name in node.inputs[2:] for source in _sources(name, made_by)}
    return looked_up - {"input_ids"}


def _sources(name: str, made_by: Mapping[str, _Node], depth: int = 0) -> set[str]:
    node = made_by.get(name)
    if node is None:
        return {name}
    if node.operator not in _PASSING or depth > 8:
        return set()
    return {source for value in node.inputs for source in _sources(value, made_by, depth + 1)}


def explain_tokenizer(data: bytes, name: str = "tokenizer.json") -> TokenizerBytes:
    """Return where the bytes of a `tokenizer.json` go; raise `InputError` when it is none."""
    try:
        content = json.loads(data)
        model = dict(content["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} is no tokenizer ({error}); make the vocabulary again") from None
    parts = {key: _json_size(value) for key, value in content.items() if key != "model"}
    for key, label in (("vocab", "vocabulary"), ("merges", "merges")):
        if key in model:
            parts[label] = _json_size(model.pop(key))
    parts["model settings"] = _json_size(model)
    ordered = dict(sorted(parts.items(), key=lambda item: (-item[1], item[0])))
    return TokenizerBytes(len(data), ordered, len(data) - sum(ordered.values()))


def _json_size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))


def explain_path(path: Path) -> BundleBytes:
    """Explain a bundle folder (its default graph, its tokenizer, all files) or a single ONNX file."""
    from ..quantization.sensitivity import SENSITIVITY_NAME, read_sensitivity
    from .size_reductions import find_size_reductions

    if path.is_file():
        graph = explain_graph(read_bytes(path), str(path))
        return BundleBytes(
            {path.name: graph.total}, graph, None, find_size_reductions(graph, None), path.name, graph.total
        )
    if not path.is_dir():
        raise InputError(f"{path} does not exist; name a bundle or an ONNX file")
    files = folder_sizes(path)
    name = _default_graph(path, files)
    graph = explain_graph(read_bytes(path / name), str(path / name))
    text = read_bytes(path / "tokenizer.json") if "tokenizer.json" in files else None
    tokenizer = explain_tokenizer(text, str(path / "tokenizer.json")) if text is not None else None
    sensitivity = read_sensitivity(path / SENSITIVITY_NAME) if SENSITIVITY_NAME in files else None
    size_reductions = find_size_reductions(graph, text, sensitivity)
    return BundleBytes(files, graph, tokenizer, size_reductions, name, sum(files.values()), sensitivity is not None)


def size_breakdown(path: Path) -> list[SizeItem]:
    """Return the parts of a bundle's default graph and tokenizer, the largest first; they add up to both files."""
    explained = explain_path(path)
    graph, name = explained.graph, explained.graph_name
    large = [tensor for tensor in graph.tensors if tensor.bytes >= _SMALL * graph.total]
    items = [
        SizeItem(name, tensor.name, tensor.bytes, f"{tensor.type}, {' x '.join(map(str, tensor.shape)) or 'a number'}")
        for tensor in large
    ]
    small = sum(tensor.bytes for tensor in graph.tensors) - sum(tensor.bytes for tensor in large)
    nodes = sum(operator.bytes for operator in graph.operators)
    items.append(SizeItem(name, f"{len(graph.tensors) - len(large)} smaller tensors", small))
    items.append(SizeItem(name, "nodes", nodes, "what is computed, in which order"))
    items.append(SizeItem(name, "inputs, outputs, framing", graph.rest))
    if explained.tokenizer is not None:
        tokenizer = explained.tokenizer
        parts = {key: size for key, size in tokenizer.parts.items() if size >= _SMALL * tokenizer.total}
        items += [SizeItem("tokenizer.json", key, size) for key, size in parts.items()]
        rest = tokenizer.total - sum(parts.values())
        items.append(SizeItem("tokenizer.json", "smaller settings and punctuation", rest))
    return sorted((item for item in items if item.bytes), key=lambda item: -item.bytes)


def _default_graph(folder: Path, files: Mapping[str, int]) -> str:
    from ...runtime.manifest import MANIFEST_NAME, read_manifest

    if MANIFEST_NAME in files:
        manifest = read_manifest(folder)
        return manifest.variants[manifest.default_variant].file
    graphs = sorted(name for name in files if name.endswith(".onnx"))
    if not graphs:
        raise InputError(f"{folder} holds no ONNX file; name a bundle or an ONNX file")
    return next((name for name in ("onnx/model_quantized.onnx", "onnx/model.onnx") if name in files), graphs[0])
