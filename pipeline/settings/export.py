"""`[quantize]` and `[export]`: the shipped file."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


@dataclass(frozen=True)
class QuantizeSettings:
    """Bits of the shipped file."""

    preset: Literal["", "x86-vnni", "x86", "armv8.0", "armv8.2"] = key(
        "", "Family of processors that the file is for; empty: exact on all."
    )
    table: Literal["fp32", "fp16", "int8", "int4"] = key("int8", "Scheme of the token table.")
    linear: Literal["auto", "fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"] = key(
        "auto", "Scheme of the linear layers; `auto`: that of the preset, `int7` without one."
    )
    tensors: dict[str, Literal["fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"]] = key(
        {}, 'Schemes of single tensors by their names in `pocketrank inspect`, such as `{"layer0.qkv" = "int8"}`.'
    )
    target_bytes: str = key(
        "",
        'Bytes of ONNX file and tokenizer together, at most, such as `"1.5 MB"`: a scheme is chosen for every tensor '
        "so that they fit (mixed-precision search). Empty: not used.",
    )
    sensitivity: bool = key(False, "Whether to measure what each tensor loses by itself in each scheme.")
    calibration_texts: int = key(
        256,
        "Training texts on which the ranges of activations are measured (`int7-static`).",
        "texts",
        minimum=1,
        maximum=1_000_000,
    )


@dataclass(frozen=True)
class ExportSettings:
    """How the graphs are written."""

    engine: Literal["pocketrank", "optimum"] = key(
        "pocketrank", "`pocketrank`: our own graph writer; `optimum`: traced by optimum, quantized by ONNX Runtime."
    )
    formats: tuple[Literal["ort"], ...] = key(
        (), "Formats of the quantized file besides ONNX; `ort`: that of ONNX Runtime Mobile."
    )
