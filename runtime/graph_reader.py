"""What an ONNX file declares: operators, opsets, inputs and outputs, read without the `onnx` package.

A device has no `onnx`, and verification must not hand a file to the runtime before knowing what is in it. An ONNX
file is a protobuf message; this walks the wire format (field number and type, then a varint, 4 or 8 bytes, or a
length and that many bytes) and looks only at the fields it needs. Every length is checked against the message that
encloses it, so that a damaged or hostile file ends in an `InputError` and nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files import read_bytes

MAX_DEPTH = 16  # of graphs inside graphs (If, Loop, Scan)

# Field numbers of onnx.proto.
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 1, 7, 8, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_FUNCTION_NODE, _FUNCTION_OPSET = 7, 9
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_NAME, _TENSOR_EXTERNAL, _ENTRY_KEY, _ENTRY_VALUE = 8, 13, 1, 2
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE, _DIMENSION_NAME = 1, 1, 2

ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16"}


@dataclass(frozen=True)
class GraphValue:
    """An input or output: element type as numpy names it, and its shape (a number, a name, or None if unknown)."""

    name: str
    element: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class GraphFacts:
    """What a model file declares about itself."""

    ir_version: int
    opsets: dict[str, int]  # domain ("" is ai.onnx) -> highest version imported
    operators: dict[str, int]  # "MatMul" or "com.microsoft:Attention" -> how often, graphs inside graphs included
    inputs: tuple[GraphValue, ...]  # without initializers that are listed as inputs
    outputs: tuple[GraphValue, ...]
    external_files: tuple[str, ...]  # where tensors are kept outside the file


def read_graph(path: Path) -> GraphFacts:
    """Read the facts about the ONNX file `path`; raise `InputError` when it is no whole ONNX file."""
    try:
        return _read_model(memoryview(read_bytes(path)))
    except ValueError as error:
        raise InputError(f"{path} is not a whole ONNX file: {error}; export it again") from None


def _read_model(view: memoryview) -> GraphFacts:
    model, walker = Message(view), _Walker()
    for function in model.messages(_MODEL_FUNCTION):
        walker.nodes(function.messages(_FUNCTION_NODE), 1)
        walker.add_opsets(function.messages(_FUNCTION_OPSET))
    walker.add_opsets(model.messages(_MODEL_OPSET))
    inputs, outputs = walker.graph(model.one(_MODEL_GRAPH, "graphs"), 0)
    return GraphFacts(
        ir_version=model.integer(_MODEL_IR_VERSION),
        opsets=dict(sorted(walker.opsets.items())),
        operators=dict(sorted(walker.operators.items())),
        inputs=inputs,
        outputs=outputs,
        external_files=tuple(sorted(walker.external_files)),
    )


class _Walker:
    """Collects what is counted over a graph and all graphs inside it."""

    def __init__(self) -> None:
        self.opsets: dict[str, int] = {}
        self.operators: Counter[str] = Counter()
        self.external_files: set[str] = set()

    def add_opsets(self, opsets: "list[Message]") -> None:
        for opset in opsets:
            domain, version = domain_name(opset.text(_OPSET_DOMAIN)), opset.integer(_OPSET_VERSION)
            self.opsets[domain] = max(version, self.opsets.get(domain, 0))

    def graph(self, graph: "Message", depth: int) -> tuple[tuple[GraphValue, ...], tuple[GraphValue, ...]]:
        if depth > MAX_DEPTH:
            raise ValueError(f"graphs are nested more than {MAX_DEPTH} deep")
        self.nodes(graph.messages(_GRAPH_NODE), depth)
        initializers = {self.tensor(tensor) for tensor in graph.messages(_GRAPH_INITIALIZER)}
        inputs, outputs = (tuple(map(_graph_value, graph.messages(number))) for number in (_GRAPH_INPUT, _GRAPH_OUTPUT))
        return tuple(value for value in inputs if value.name not in initializers), outputs

    def nodes(self, nodes: "list[Message]", depth: int) -> None:
        for node in nodes:
            self.operators[operator_name(node)] += 1
            for attribute in node.messages(_NODE_ATTRIBUTE):
                for graph in (*attribute.messages(_ATTRIBUTE_GRAPH), *attribute.messages(_ATTRIBUTE_GRAPHS)):
                    self.graph(graph, depth + 1)
                for tensor in (*attribute.messages(_ATTRIBUTE_TENSOR), *attribute.messages(_ATTRIBUTE_TENSORS)):
                    self.tensor(tensor)

    def tensor(self, tensor: "Message") -> str:
        entries = [(entry.text(_ENTRY_KEY), entry.text(_ENTRY_VALUE)) for entry in tensor.messages(_TENSOR_EXTERNAL)]
        self.external_files |= {value for key, value in entries if key == "location"}
        return tensor.text(TENSOR_NAME)


def operator_name(node: "Message") -> str:
    """Return a node's operator, such as `MatMul` or `com.microsoft:Attention`."""
    domain = domain_name(node.text(_NODE_DOMAIN))
    return f"{domain}:{node.text(_NODE_OPERATOR)}" if domain else node.text(_NODE_OPERATOR)


def domain_name(name: str) -> str:
    """Return the domain of an operator, empty for that of ONNX itself."""
    return "" if name == "ai.onnx" else name


def _graph_value(value: "Message") -> GraphValue:
    tensors = [tensor for kind in value.messages(_VALUE_TYPE) for tensor in kind.messages(_TYPE_TENSOR)]
    element, shape = "unknown", ()
    if tensors:
        code = tensors[-1].integer(_TENSOR_ELEMENT)
        element = ELEMENT_TYPES.get(code, f"type {code}") if code else "unknown"
        shapes = tensors[-1].messages(_TENSOR_SHAPE)
        shape = tuple(_dimension(part) for part in (shapes[-1].messages(_SHAPE_DIMENSION) if shapes else ()))
    return GraphValue(value.text(_VALUE_NAME), element, shape)


def _dimension(dimension: "Message") -> int | str | None:
    if dimension.values(_DIMENSION_VALUE):
        return dimension.integer(_DIMENSION_VALUE)
    return dimension.text(_DIMENSION_NAME) if dimension.values(_DIMENSION_NAME) else None


class Message:
    """The fields of one protobuf message. Raises `ValueError` where it is not whole or a field is of another kind."""

    def __init__(self, view: memoryview) -> None:
        self.length = len(view)
        self._values: dict[int, list[int | memoryview]] = {}
        for number, value in _fields(view):
            self._values.setdefault(number, []).append(value)

    def values(self, number: int) -> list[int | memoryview]:
        """Return the values of a field as they are: integers or bytes, in order."""
        return self._values.get(number, [])

    def views(self, number: int) -> list[memoryview]:
        """Return the bytes of a repeated field."""
        views = [value for value in self.values(number) if not isinstance(value, int)]
        if len(views) < len(self.values(number)):
            raise ValueError("a number stands where a message is needed")
        return views

    def messages(self, number: int) -> "list[Message]":
        """Return the messages of a repeated field."""
        return [Message(view) for view in self.views(number)]

    def one(self, number: int, what: str) -> "Message":
        """Return the message of a field that there must be exactly once; `what` says what it is, in the plural."""
        if len(self.values(number)) != 1:
            raise ValueError(f"{len(self.values(number))} {what} instead of one")
        return self.messages(number)[0]

    def texts(self, number: int) -> list[str]:
        """Return the texts of a repeated field."""
        return [bytes(view).decode("utf-8") for view in self.views(number)]  # UnicodeDecodeError is a ValueError

    def text(self, number: int) -> str:
        """Return the text of a field, the last one where there are several, as protobuf has it; empty without any."""
        return (self.texts(number) or [""])[-1]

    def integers(self, number: int) -> list[int]:
        """Return the integers of a repeated field, packed or not."""
        integers: list[int] = []
        for value in self.values(number):
            position = 0
            while not isinstance(value, int) and position < len(value):
                integer, position = _varint(value, position)
                integers.append(integer)
            integers += [value] if isinstance(value, int) else []
        return [value - (1 << 64) if value >= 1 << 63 else value for value in integers]

    def integer(self, number: int) -> int:
        """Return the integer of a field, the last one where there are several; 0 without any."""
        if any(not isinstance(value, int) for value in self.values(number)):
            raise ValueError("bytes stand where a number is needed")
        return (self.integers(number) or [0])[-1]


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, integer or bytes) of one protobuf message; raise `ValueError` where it is not whole."""
    position, size = 0, len(view)
    while position < size:
        key, position = _varint(view, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == 0:
            value, position = _varint(view, position)
            yield number, value
            continue
        if kind == 2:
            length, position = _varint(view, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field {number} has the unknown wire type {kind}")
        if length > size - position:
            raise ValueError(f"field {number} claims {length} bytes, {size - position} are left")
        yield number, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise ValueError("it ends within a number")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise ValueError("a number is longer than ten bytes")
