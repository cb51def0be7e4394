"""PyTorch's own exporter on the student: an engine that shares nothing with ours, for comparison."""

import contextlib
import io
import warnings
from pathlib import Path


def export_by_torch(student: Path, path: Path, dynamo: bool) -> None:
    """Trace the sentence-transformers folder `student` into an ONNX file with a bundle's inputs and embedding."""
    import logging

    import torch
    from sentence_transformers import SentenceTransformer

    class Traced(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = SentenceTransformer(str(student), device="cpu", backend="torch").eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    ids = torch.tensor([[2, 9, 8, 7, 3], [2, 9, 3, 0, 0]])
    mask = (ids != 0).long()
    names = ["input_ids", "attention_mask"]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            if dynamo:
                batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=2)
                shapes = {name: {0: batch, 1: length} for name in names}
                torch.onnx.export(
                    Traced(), (ids, mask), str(path), input_names=names, output_names=["sentence_embedding"],
                    dynamic_shapes=shapes, dynamo=True, external_data=False, verbose=False,
                )  # fmt: skip
            else:
                axes = {name: {0: "batch", 1: "length"} for name in names} | {"sentence_embedding": {0: "batch"}}
                torch.onnx.export(
                    Traced(), (ids, mask), str(path), input_names=names, output_names=["sentence_embedding"],
                    dynamic_axes=axes, dynamo=False, opset_version=17,
                )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
