"""The other export engine: optimum traces the student and ONNX Runtime's tools quantize it.

It shares nothing with the graph writer but the trained weights, so it shows what the writer is worth, and it reaches
whatever those libraries support. It needs transformers 4 and therefore an environment of its own (`make optimum`).
"""

import contextlib
import importlib.util
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

from ...export.bundle.assemble import DEFAULT, REFERENCE, opener_files
from ...export.bundle.sentence_transformers_folder import write_torch_folder
from ...export.bundle.tokenizer import compact_tokenizer
from ...export.graph.schemes import Plan
from ...export.graph.weights import TransformerWeights
from ...runtime.errors import InputError, UnavailableError

_TOKENS, _SENTENCE = "token_embeddings", "sentence_embedding"


def optimum_graphs(weights: TransformerWeights, tokenizer: bytes, max_length: int, plan: Plan) -> dict[str, bytes]:
    """Return the ONNX files of the student by variant, with the inputs and outputs that every bundle has.

    `plan` is int7 in its linear layers (signed, half range, per channel; the range of the activations is that of the
    whole batch) and int8 or fp32 in its table. Raises what `check_optimum` does.
    """
    check_optimum(weights.static, plan)
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name, _quiet():
        folder = Path(name)
        files = opener_files(weights, compact_tokenizer(tokenizer), max_length)
        # The projection before the pooling, as in our own graphs: the mean of the token outputs is the embedding.
        write_torch_folder(folder / "student", weights, tokenizer, files, per_token=True)
        _trace(folder / "student", folder / "onnx", weights.dimension)
        _quantize(folder / "onnx", folder / "quantized", plan)
        return {
            REFERENCE: (folder / "onnx" / "model.onnx").read_bytes(),
            DEFAULT: (folder / "quantized" / "model_quantized.onnx").read_bytes(),
        }


def check_optimum(static: bool, plan: Plan) -> None:
    """Raise `UnavailableError` where optimum is not installed, `InputError` for what it cannot write."""
    if static:
        raise InputError(
            "export.engine = 'optimum' writes transformers; use export.engine = 'pocketrank' for a static student"
        )
    if importlib.util.find_spec("optimum") is None or importlib.util.find_spec("optimum.onnxruntime") is None:
        raise UnavailableError(
            "export.engine = 'optimum' needs optimum-onnx, which is not installed; run `make optimum` and use "
            ".venv-optimum/bin/pocketrank, or set export.engine = 'pocketrank'"
        )
    if plan.tensors or plan.linear != "int7" or plan.table not in ("int8", "fp32"):
        raise InputError(
            f"export.engine = 'optimum' quantizes linear layers to int7 and the table to int8 or not at all, "
            f"the recipe asks for {plan.linear}, {plan.table}"
            f"{' and single tensors' if plan.tensors else ''}; change [quantize] or use export.engine = 'pocketrank'"
        )


def _trace(student: Path, output: Path, dimension: int) -> None:
    import onnx
    from optimum.exporters.onnx import main_export  # pyright: ignore[reportMissingImports]

    main_export(
        str(student), output, task="sentence-similarity", library_name="sentence_transformers", device="cpu",
        do_validation=False,
    )  # fmt: skip
    model = onnx.load(str(output / "model.onnx"))
    _rename(model.graph, _TOKENS, "last_hidden_state")
    for value in (*model.graph.input, *model.graph.output):
        shape = value.type.tensor_type.shape
        names = ["batch", "length"] if len(shape.dim) == 3 or value in model.graph.input else ["batch"]
        for place, dim in zip(names, shape.dim, strict=False):
            dim.dim_param = place
        if value in model.graph.output:
            shape.dim[-1].dim_value = dimension
    order = {"last_hidden_state": 0, _SENTENCE: 1}
    outputs = sorted(model.graph.output, key=lambda value: order[value.name])
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    # Shapes of values inside and remarks of the tracer: they name files of this machine and are of no use.
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    (output / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in graph.output:
        value.name = new if value.name == old else value.name


def _quantize(folder: Path, output: Path, plan: Plan) -> None:
    from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
    from optimum.onnxruntime import ORTQuantizer  # pyright: ignore[reportMissingImports]
    from optimum.onnxruntime.configuration import QuantizationConfig  # pyright: ignore[reportMissingImports]

    configuration = QuantizationConfig(
        is_static=False,
        format=QuantFormat.QOperator,
        mode=QuantizationMode.IntegerOps,
        activations_dtype=QuantType.QUInt8,
        # Reduced below: full-range signed weights saturate on x86 processors without VNNI.
        weights_dtype=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        operators_to_quantize=["MatMul", "Gather"] if plan.table == "int8" else ["MatMul"],
    )
    quantizer = ORTQuantizer.from_pretrained(folder, file_name="model.onnx")
    quantizer.quantize(configuration, output, file_suffix="quantized")


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the remarks of libraries that were written for a terminal away from ours."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
