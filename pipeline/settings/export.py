"""`[quantize]` and `[export]`: the shipped file."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class QuantizeSettings:
    """Bits of the shipped file."""

    table: Literal["fp32", "fp16", "int8", "int4"] = key("int8", "Scheme of the token table.")
    linear: Literal["fp32", "fp16", "int7", "int7-exact", "int4"] = key(
        "int7", "Scheme of the linear layers; `int7-exact`: slower, and the same vectors on every processor."
    )
    tensors: dict[str, Literal["fp32", "fp16", "int8", "int7", "int7-exact", "int4"]] = key(
        {}, 'Schemes of single tensors by their names in `pocketrank inspect`, such as `{"layer0.qkv" = "fp16"}`.'
    )
    target_bytes: str = key(
        "",
        'Bytes of ONNX file and tokenizer together, at most, such as `"1.5 MB"`: a scheme is chosen for every tensor '
        "so that they fit (mixed-precision search). Empty: not used.",
    )
    sensitivity: bool = key(False, "Whether to measure what each tensor loses by itself in each scheme.")


@dataclass(frozen=True)
class ExportSettings:
    """How the graphs are written."""

    engine: Literal["pocketrank", "optimum"] = key(
        "pocketrank", "`pocketrank`: our own graph writer; `optimum`: traced by optimum, quantized by ONNX Runtime."
    )
    formats: tuple[Literal["ort"], ...] = key(
        (), "Formats of the quantized file besides ONNX; `ort`: that of ONNX Runtime Mobile."
    )
