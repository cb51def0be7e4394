"""The teacher as an ONNX file, so that bundle and teacher can be measured by the same worker."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    import torch

    from .bi_encoder import BiEncoder

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls"}
_LARGEST_FILE = 2_000_000_000  # bytes of weights in an ONNX file, which may have 2^31; more lie in a file beside it


def write_teacher(teacher: "BiEncoder", folder: Path) -> str:
    """Write `model.onnx` and `tokenizer.json` of a loaded teacher to `folder`; return the name of the writer used.

    BERT-family teachers with mean or first-token pooling go through our own writer, all others through PyTorch's
    exporter with every module of the teacher. Inputs and outputs are those of a bundle's graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pooling = writable_pooling(teacher)
    if pooling is not None:
        write_bytes(folder / "model.onnx", write_graph(read_weights(teacher.files.folder), FP32, pooling))
    else:
        _export(teacher, folder / "model.onnx")
    write_bytes(folder / TOKENIZER_NAME, compact_tokenizer(_tokenizer(teacher)))
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
    if teacher.model.truncate_dim or _weight_bytes(teacher) > _LARGEST_FILE:
        return None
    try:
        read_weights(folder)
    except InputError:
        return None
    return _POOLINGS.get(teacher.pooling)


def _export(teacher: "BiEncoder", path: Path) -> None:
    """Write all modules of the teacher, as queries go through them, by PyTorch's exporter."""
    import torch

    modules, dimension = _query_modules(teacher), teacher.dimension

    class Whole(torch.nn.Module):
        """All modules of the teacher as one function of ids and mask."""

        def __init__(self) -> None:
            super().__init__()
            self.modules_in_order = torch.nn.ModuleList(modules)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features: dict[str, torch.Tensor] = {"input_ids": input_ids, "attention_mask": attention_mask}
            for module in self.modules_in_order:
                features = _static(module, features) if _is_static(module) else module(features)
            embedding = features["sentence_embedding"][:, :dimension].reshape(input_ids.shape[0], dimension)
            return features["token_embeddings"], torch.nn.functional.normalize(embedding, dim=1)

    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    ids = torch.randint(5, 50, (2, 8), generator=torch.Generator().manual_seed(1)) * mask
    model, names = Whole().eval(), ["input_ids", "attention_mask"]
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), torch.no_grad(), _silent():
        warnings.simplefilter("ignore")  # the exporter's own remarks
        torch.onnx.export(
            model,
            (ids, mask),
            path,
            dynamo=True,
            input_names=names,
            output_names=["last_hidden_state", "sentence_embedding"],
            dynamic_shapes=dict.fromkeys(names, axes),
            external_data=_weight_bytes(teacher) > _LARGEST_FILE,
            verbose=False,
        )


def _query_modules(teacher: "BiEncoder") -> list[Any]:
    """Return the modules in order; of routes, that of the queries, which are what is measured."""
    routes = [getattr(module, "sub_modules", None) or {"query": [module]} for module in teacher.model.children()]
    return [module for route in routes for module in route["query"]]


def _is_static(module: Any) -> bool:
    return type(module).__name__ == "StaticEmbedding"


def _static(module: Any, features: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Return what a static table gives for padded ids; its own forward takes all ids in one row."""
    tokens = module.embedding.weight[features["input_ids"]]
    mask = features["attention_mask"].unsqueeze(-1).to(tokens.dtype)
    mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1)
    return {"token_embeddings": tokens, "sentence_embedding": mean}


def _weight_bytes(teacher: "BiEncoder") -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in teacher.model.state_dict().values())


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter from logging and printing what it does."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _tokenizer(teacher: "BiEncoder") -> bytes:
    """Return the teacher's `tokenizer.json`; a static table's without the special tokens, which it does not read."""
    first = _query_modules(teacher)[0]
    if _is_static(first):
        return json.dumps(json.loads(first.tokenizer.to_str()) | {"post_processor": None}).encode("utf-8")
    own = teacher.files.folder / TOKENIZER_NAME
    if own.is_file():
        return read_bytes(own)
    backend = teacher.tokenizer
    if backend is None:
        raise InputError(f"{teacher.files.name} has no fast tokenizer; name a teacher that comes with tokenizer.json")
    return backend.to_str().encode("utf-8")
