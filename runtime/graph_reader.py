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
_TENSOR_NAME, _TENSOR_EXTERNAL, _ENTRY_KEY, _ENTRY_VALUE = 8, 13, 1, 2
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
    walker = _Walker()
    ir_version = 0
    inputs: tuple[GraphValue, ...] = ()
    outputs: tuple[GraphValue, ...] = ()
    graphs = 0
    for number, value in message_fields(view):
        if number == _MODEL_IR_VERSION:
            ir_version = _integer(value)
        elif number == _MODEL_OPSET:
            walker.opset(message_value(value))
        elif number == _MODEL_GRAPH:
            graphs += 1
            inputs, outputs = walker.graph(message_value(value), 0)
        elif number == _MODEL_FUNCTION:
            for inner, item in message_fields(message_value(value)):
                if inner == _FUNCTION_NODE:
                    walker.node(message_value(item), 1)
                elif inner == _FUNCTION_OPSET:
                    walker.opset(message_value(item))
    if graphs != 1:
        raise ValueError(f"{graphs} graphs instead of one")
    return GraphFacts(
        ir_version=ir_version,
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

    def opset(self, view: memoryview) -> None:
        domain, version = "", 0
        for number, value in message_fields(view):
            if number == _OPSET_DOMAIN:
                domain = domain_value(value)
            elif number == _OPSET_VERSION:
                version = _integer(value)
        self.opsets[domain] = max(version, self.opsets.get(domain, 0))

    def graph(self, view: memoryview, depth: int) -> tuple[tuple[GraphValue, ...], tuple[GraphValue, ...]]:
        if depth > MAX_DEPTH:
            raise ValueError(f"graphs are nested more than {MAX_DEPTH} deep")
        inputs: list[GraphValue] = []
        outputs: list[GraphValue] = []
        initializers: set[str] = set()
        for number, value in message_fields(view):
            if number == _GRAPH_NODE:
                self.node(message_value(value), depth)
            elif number == _GRAPH_INITIALIZER:
                initializers.add(self.tensor(message_value(value)))
            elif number == _GRAPH_INPUT:
                inputs.append(_graph_value(message_value(value)))
            elif number == _GRAPH_OUTPUT:
                outputs.append(_graph_value(message_value(value)))
        return tuple(value for value in inputs if value.name not in initializers), tuple(outputs)

    def node(self, view: memoryview, depth: int) -> None:
        operator, domain = "", ""
        for number, value in message_fields(view):
            if number == _NODE_OPERATOR:
                operator = text_value(value)
            elif number == _NODE_DOMAIN:
                domain = domain_value(value)
            elif number == _NODE_ATTRIBUTE:
                self.attribute(message_value(value), depth)
        self.operators[f"{domain}:{operator}" if domain else operator] += 1

    def attribute(self, view: memoryview, depth: int) -> None:
        for number, value in message_fields(view):
            if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self.graph(message_value(value), depth + 1)
            elif number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self.tensor(message_value(value))

    def tensor(self, view: memoryview) -> str:
        name = ""
        for number, value in message_fields(view):
            if number == _TENSOR_NAME:
                name = text_value(value)
            elif number == _TENSOR_EXTERNAL:
                entry = {inner: text_value(item) for inner, item in message_fields(message_value(value))}
                if entry.get(_ENTRY_KEY) == "location":
                    self.external_files.add(entry.get(_ENTRY_VALUE, ""))
        return name


def _graph_value(view: memoryview) -> GraphValue:
    name, element, shape = "", "unknown", ()
    for number, value in message_fields(view):
        if number == _VALUE_NAME:
            name = text_value(value)
        elif number == _VALUE_TYPE:
            for inner, item in message_fields(message_value(value)):
                if inner == _TYPE_TENSOR:
                    element, shape = _tensor_type(message_value(item))
    return GraphValue(name, element, shape)


def _tensor_type(view: memoryview) -> tuple[str, tuple[int | str | None, ...]]:
    element: str = "unknown"
    shape: list[int | str | None] = []
    for number, value in message_fields(view):
        if number == _TENSOR_ELEMENT:
            element = ELEMENT_TYPES.get(_integer(value), f"type {_integer(value)}")
        elif number == _TENSOR_SHAPE:
            for inner, item in message_fields(message_value(value)):
                if inner == _SHAPE_DIMENSION:
                    shape.append(_dimension(message_value(item)))
    return element, tuple(shape)


def _dimension(view: memoryview) -> int | str | None:
    extent: int | str | None = None
    for number, value in message_fields(view):
        if number == _DIMENSION_VALUE:
            extent = _integer(value)
        elif number == _DIMENSION_NAME:
            extent = text_value(value)
    return extent


def message_fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
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


def _integer(value: int | memoryview) -> int:
    if isinstance(value, memoryview):
        raise ValueError("bytes stand where a number is needed")
    return value - (1 << 64) if value >= 1 << 63 else value


def message_value(value: int | memoryview) -> memoryview:
    """Return the value of a field as a message; raise `ValueError` when it is a number."""
    if isinstance(value, int):
        raise ValueError("a number stands where a message is needed")
    return value


def text_value(value: int | memoryview) -> str:
    """Return the value of a field as text; raise `ValueError` when it is none."""
    return bytes(message_value(value)).decode("utf-8")  # UnicodeDecodeError is a ValueError


def domain_value(value: int | memoryview) -> str:
    """Return the domain of an operator, empty for that of ONNX itself."""
    name = text_value(value)
    return "" if name == "ai.onnx" else name
