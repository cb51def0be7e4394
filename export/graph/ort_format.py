"""Files for ONNX Runtime Mobile: a graph in ORT format, and which operators a minimal build of the runtime needs.

The runtime writes the format itself, but in an order that changes with memory addresses, so the same graph gives
other bytes each time. `canonical` brings tensors, values and type tables into order and writes the file again; equal
strings are stored once, which also makes it smaller.

Nothing is optimised on the way where that is possible, since constants folded here are stored widened. Whoever loads
the file leaves the runtime's optimisation off, as small builds do anyway. `MatMulNBits` is the exception: it packs its
scales when the session is made, and with scales that a `Cast` still has to widen it silently multiplies by zero
(onnxruntime 1.31, 4-bit layers, optimisation off), so those graphs get their constants folded.
"""

import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError

IDENTIFIER = b"ORTM"

# Tables of the ORT format: slot -> kind of value. `>Name` is a table, `*Name` a vector of tables.
_TABLES: dict[str, dict[int, str]] = {
    "InferenceSession": {0: "text", 1: ">Model", 3: ">Resolver"},
    "Model": {
        **{0: "Int64", 1: "*OperatorSet", 2: "text", 3: "text", 4: "text", 5: "Int64", 6: "text"},
        **{7: ">Graph", 8: "text", 9: "*Property"},
    },
    "Graph": {
        **{0: "*Tensor", 1: "*ValueInfo", 2: "*Node", 3: "Uint32", 4: "*NodeEdges", 5: "texts", 6: "texts"},
        **{7: "*Unknown", 8: ">RuntimeOptimizations"},
    },
    "Node": {
        **{0: "text", 1: "text", 2: "text", 3: "Int32", 4: "Uint32", 5: "text", 6: "Int32", 7: "text", 8: "texts"},
        **{9: "texts", 10: "*Attribute", 11: "Int32s", 12: "texts"},
    },
    "NodeEdges": {0: "Uint32", 1: "edges", 2: "edges"},
    "ValueInfo": {0: "text", 1: "text", 2: ">TypeInfo"},
    "TypeInfo": {0: "text", 1: "Uint8", 2: ">TensorType"},
    "TensorType": {0: "Int32", 1: ">Shape"},
    "Shape": {0: "*Dimension"},
    "Dimension": {0: ">DimensionValue", 1: "text"},
    "DimensionValue": {0: "Int8", 1: "Int64", 2: "text"},
    "Tensor": {0: "text", 1: "text", 2: "Int64s", 3: "Int32", 4: "bytes", 5: "texts", 6: "Int64"},
    "OperatorSet": {0: "text", 1: "Int64"},
    "Attribute": {
        **{0: "text", 1: "text", 2: "Int32", 3: "Float32", 4: "Int64", 5: "text", 6: ">Tensor", 7: ">Graph"},
        **{8: "Float32s", 9: "Int64s", 10: "texts", 11: "*Tensor", 12: "*Graph"},
    },
    "Resolver": {0: "*OperatorTypes"},
    "OperatorTypes": {0: "text", 1: "*TypeArguments"},
    "TypeArguments": {0: "text", 1: "*Argument"},
    "Argument": {0: "Int8", 1: "Uint32"},
    "Property": {0: "text", 1: "text"},
    "RuntimeOptimizations": {0: "*Unknown"},
    "Unknown": {},
}
# Vectors without an order of their own: (table, slot) -> slot of the key inside their elements.
_SORTED = {
    ("Model", 1): 0,
    ("Model", 9): 0,
    ("Graph", 0): 0,
    ("Graph", 1): 0,
    ("Graph", 4): 0,
    ("Node", 10): 0,
    ("Resolver", 0): 0,
    ("OperatorTypes", 1): 0,
}
_TENSOR_TYPE = 1  # the member of the union in TypeInfo that is a tensor
_EDGE_BYTES = 12
_WIDTHS = {"Int32s": 4, "Int64s": 8, "Float32s": 4, "bytes": 1, "edges": _EDGE_BYTES}
_RAW_ALIGNMENT = 16

Values = dict[int, Any]


@dataclass(frozen=True)
class OrtFormatFiles:
    """What `to_ort_format` makes of one graph."""

    model: bytes
    operators: bytes  # the file of required operators, with the types each of them is used with


def to_ort_format(graph: bytes) -> OrtFormatFiles:
    """Return the ORT-format file of an ONNX graph and the list of operators that it needs; always the same bytes."""
    import onnx
    import onnxruntime
    from onnxruntime.tools.ort_format_model import create_config_from_models

    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        folder = Path(name)
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        operators = {node.op_type for node in onnx.load_from_string(graph).graph.node}
        folded = "MatMulNBits" in operators
        options.graph_optimization_level = levels.ORT_ENABLE_BASIC if folded else levels.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(folder / "model.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.intra_op_num_threads = 1
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = canonical((folder / "model.ort").read_bytes())
        (folder / "model.ort").write_bytes(model)
        logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the library leaves its input to be closed by chance
            create_config_from_models([folder / "model.ort"], folder / "operators", enable_type_reduction=True)
        lines = (folder / "operators").read_text(encoding="utf-8").splitlines()
    # The library's comments name the folder it worked in.
    kept = [line for line in lines if line and not line.startswith("#")]
    return OrtFormatFiles(model, ("\n".join(kept) + "\n").encode("utf-8"))


def canonical(data: bytes) -> bytes:
    """Return an ORT-format file with everything that has no order of its own sorted by name."""
    import flatbuffers
    from flatbuffers import encode, packer

    if data[4:8] != IDENTIFIER:
        raise InputError("not a file in ORT format; convert the graph again")
    tables = _Reader(data).table(encode.Get(packer.uoffset, data, 0), "InferenceSession")
    builder = flatbuffers.Builder(len(data))
    builder.Finish(_write(builder, tables, "InferenceSession"), IDENTIFIER)
    return bytes(builder.Output())


class _Reader:
    """Reads the tables of a flatbuffer as plain values by slot, sorted where they have no order of their own."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def table(self, position: int, kind: str) -> Values:
        """Return the values of the table of this kind at `position`."""
        from flatbuffers import encode, number_types, packer, table

        view = table.Table(self._data, position)
        slots = (view.Pos - view.Get(number_types.SOffsetTFlags, view.Pos)) if view.Pos else 0
        values: Values = {}
        for slot in range((encode.Get(packer.uint16, self._data, slots) - 4) // 2):
            offset = view.Offset(4 + 2 * slot)
            if not offset:
                continue
            if slot not in _TABLES[kind]:
                raise InputError(f"ORT format: {kind} has an entry {slot} that is not known; use onnxruntime 1.31")
            value = self._value(view, _TABLES[kind][slot], offset)
            if (kind, slot) in _SORTED:
                key = _SORTED[kind, slot]
                value = sorted(value, key=lambda row, key=key: (key in row, row.get(key, 0)))
            values[slot] = value
        if kind == "TypeInfo" and values.get(1) != _TENSOR_TYPE:
            raise InputError("ORT format: a value is no tensor; only graphs of tensors are written")
        return values

    def _value(self, view: Any, kind: str, offset: int) -> Any:
        from flatbuffers import number_types

        position = view.Pos + offset
        if kind.startswith(">"):
            return self.table(view.Indirect(position), kind[1:])
        if kind == "text":
            return bytes(view.String(position))
        if not (kind.startswith("*") or kind == "texts" or kind in _WIDTHS):
            return view.Get(getattr(number_types, f"{kind}Flags"), position)
        start, length = view.Vector(offset), view.VectorLen(offset)
        if kind in _WIDTHS:
            return self._data[start : start + length * _WIDTHS[kind]]
        positions = range(start, start + 4 * length, 4)
        if kind == "texts":
            return [bytes(view.String(element)) for element in positions]
        return [self.table(view.Indirect(element), kind[1:]) for element in positions]


def _write(builder: Any, values: Mapping[int, Any], kind: str) -> int:
    """Write one table, what it refers to first, and return where it lies."""
    known = _TABLES[kind]
    scalars = {slot: value for slot, value in values.items() if isinstance(value, (int, float))}
    positions = {slot: _position(builder, values[slot], known[slot]) for slot in sorted(values) if slot not in scalars}
    builder.StartObject(max(known, default=-1) + 1)
    for slot in sorted(values):
        if slot in positions:
            builder.PrependUOffsetTRelativeSlot(slot, positions[slot], 0)
        else:
            prepend: Callable[..., None] = getattr(builder, f"Prepend{known[slot]}Slot")
            prepend(slot, scalars[slot], None)
    return builder.EndObject()


def _position(builder: Any, value: Any, kind: str) -> int:
    if kind.startswith(">"):
        return _write(builder, value, kind[1:])
    if kind == "text":
        return builder.CreateSharedString(value)
    if kind in _WIDTHS:
        width = _WIDTHS[kind]
        alignment = _RAW_ALIGNMENT if kind == "bytes" else 4 if kind == "edges" else width
        builder.StartVector(width, len(value) // width, alignment)
        head = builder.head - len(value)
        builder.head = head
        builder.Bytes[head : head + len(value)] = value
        return builder.EndVector()
    if kind == "texts":
        positions = [builder.CreateSharedString(text) for text in value]
    else:
        positions = [_write(builder, row, kind[1:]) for row in value]
    builder.StartVector(4, len(positions), 4)
    for place in reversed(positions):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()
