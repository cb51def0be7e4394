"""The teacher as an ONNX file, so that bundle and teacher can be measured by the same worker."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...export.bundle.tokenizer import compact_tokenizer
from ...export.graph.schemes import FP32, Plan
from ...export.graph.weights import read_weights
from ...export.graph.writer import Pooling, write_graph
from ...runtime.encoder import Encoder
from ...runtime.errors import InputError
from ...runtime.files import read_bytes, write_bytes
from ...runtime.manifest import TOKENIZER_NAME, Prompts
from ...runtime.text.tokenizer_file import TextTokenizer

if TYPE_CHECKING:
    from .bi_encoder import BiEncoder

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls"}


def write_teacher(teacher: "BiEncoder", folder: Path) -> str:
    """Write `model.onnx` and `tokenizer.json` of a loaded teacher to `folder`; return the name of the writer used.

    BERT-family teachers with mean or first-token pooling go through our own writer, all others through PyTorch's
    exporter with every module of the teacher. Inputs and outputs are those of a bundle's graph.
    """
    source = teacher.files.folder
    folder.mkdir(parents=True, exist_ok=True)
    pooling = writable_pooling(teacher)
    if pooling is not None:
        write_bytes(folder / "model.onnx", write_graph(read_weights(source), FP32, pooling))
    else:
        _trace(teacher, folder / "model.onnx")
    own = source / "tokenizer.json"
    text = read_bytes(own) if own.is_file() else _converted_tokenizer(teacher)
    write_bytes(folder / "tokenizer.json", compact_tokenizer(text))
    return "own writer" if pooling is not None else "torch.onnx"


def open_teacher(teacher: "BiEncoder", folder: Path, variant: str = "model") -> Encoder:
    """Open `variant` of a teacher that was written to `folder`; its tokenizer is trusted as the teacher is."""
    tokenizer = TextTokenizer(folder / TOKENIZER_NAME, teacher.max_length or 512, known_parts=False)
    prompts = Prompts(query=teacher.prompts["query"], document=teacher.prompts["document"])
    return Encoder(folder, variant, folder / f"{variant}.onnx", tokenizer, prompts, threads=1)


def write_quantized_teacher(teacher: "BiEncoder", path: Path, plan: Plan) -> None:
    """Write the teacher's graph quantized by `plan`, as a baseline for the student; BERT-family teachers only."""
    pooling = writable_pooling(teacher)
    if pooling is None:
        raise InputError(f"{teacher.files.name}: only BERT-family teachers can be quantized; leave out teacher-int8")
    write_bytes(path, write_graph(read_weights(teacher.files.folder), plan, pooling))


def writable_pooling(teacher: "BiEncoder") -> Pooling | None:
    """Return the pooling when our own writer can express the teacher, else `None`."""
    modules = [name for name in teacher.modules if name != "Normalize"]
    folder = teacher.files.folder
    if modules != ["Transformer", "Pooling"] or not (folder / "model.safetensors").is_file():
        return None
    try:
        read_weights(folder)
    except InputError:
        return None
    return _POOLINGS.get(teacher.pooling)


def _trace(teacher: "BiEncoder", path: Path) -> None:
    import torch

    dimension = teacher.dimension

    class Whole(torch.nn.Module):
        """All modules of the teacher as one function of ids and mask."""

        def __init__(self, modules: Any) -> None:
            super().__init__()
            self.modules_in_order = torch.nn.ModuleList(modules)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for module in self.modules_in_order:
                features = module(features)
            embedding = features["sentence_embedding"].reshape(input_ids.shape[0], dimension)  # a fixed width
            return features["token_embeddings"], torch.nn.functional.normalize(embedding, dim=1)

    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    ids = torch.randint(5, 50, (2, 8), generator=torch.Generator().manual_seed(1)) * mask
    axes = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", "last_hidden_state")}
    axes["sentence_embedding"] = {0: "batch"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own remarks on tracing
        torch.onnx.export(
            Whole(list(teacher.model.children())).eval(),
            (ids, mask),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state", "sentence_embedding"],
            dynamic_axes=axes,
        )


def _converted_tokenizer(teacher: "BiEncoder") -> bytes:
    backend = getattr(teacher.model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"{teacher.files.name} has no fast tokenizer; name a teacher that comes with tokenizer.json")
    return backend.to_str().encode("utf-8")
