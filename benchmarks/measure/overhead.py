"""What the harness itself costs: a model that does nothing, behind a tokenizer that knows nothing.

The model casts its token ids to numbers. Through the same worker this costs what calling the two libraries and
reading the clock costs, so the rest of a figure is the model's own.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from ..records.report import DeviceReport
from .aggregate import aggregate_runs
from .session import ModelFiles, Session

NAME = "empty"
_REPETITIONS = 3
_INT64, _FLOAT = 7, 1  # element types of ONNX


def measure_overhead(session: Session, report: DeviceReport) -> DeviceReport:
    """Add what the empty model measures on this device."""
    if not session.settings.overhead:
        return report
    target = session.target
    with tempfile.TemporaryDirectory(prefix="pocketrank-empty-") as folder:
        model = write_empty_model(Path(folder))
        session = dataclasses.replace(session, models=[model])
        runs = [session.run_worker(model)[0] for _ in range(min(session.settings.repetitions, _REPETITIONS))]
    rows = aggregate_runs(runs, NAME, report.fingerprint, target.has_wall_time, target.cpu_quota)
    return dataclasses.replace(report, overhead=tuple(rows))


def write_empty_model(folder: Path) -> ModelFiles:
    """Write model and tokenizer into `folder`."""
    (folder / "empty.onnx").write_bytes(empty_model())
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return ModelFiles(NAME, folder / "empty.onnx", folder / "tokenizer.json")


def empty_model() -> bytes:
    """Return an ONNX file with one Cast from `input_ids` to `sentence_embedding`.

    Written by hand, field by field of onnx.proto, because a device has no `onnx` package.
    """
    to_float = _text(1, "to") + _number(3, _FLOAT) + _number(20, 2)  # attribute of type INT
    node = _text(1, "input_ids") + _text(2, "sentence_embedding") + _text(4, "Cast") + _part(5, to_float)
    graph = _part(1, node) + _text(2, NAME)
    graph += _part(11, _value("input_ids", _INT64)) + _part(12, _value("sentence_embedding", _FLOAT))
    return _number(1, 8) + _part(7, graph) + _part(8, _number(2, 13))  # IR version 8, opset 13


def _value(name: str, element: int) -> bytes:
    axes = b"".join(_part(1, _text(2, axis)) for axis in ("batch", "length"))
    tensor = _number(1, element) + _part(2, axes)
    return _text(1, name) + _part(2, _part(1, tensor))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + bytes([value]) if field < 16 else bytes([field << 3 & 0x7F | 0x80, field >> 4, value])


def _part(field: int, payload: bytes) -> bytes:
    assert field < 16 and len(payload) < 128 * 128
    length = len(payload)
    size = bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])
    return bytes([field << 3 | 2]) + size + payload


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode("ascii"))
