"""`[export]`."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class ExportSettings:
    """How the graphs are written."""

    engine: Literal["pocketrank", "optimum"] = key(
        "pocketrank", "`pocketrank`: our own graph writer; `optimum`: traced by optimum, quantized by ONNX Runtime."
    )
    formats: tuple[Literal["ort"], ...] = key(
        (), "Formats of the quantized file besides ONNX; `ort`: that of ONNX Runtime Mobile."
    )
