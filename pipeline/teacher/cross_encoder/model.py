"""A cross-encoder: it reads a query and a document as one text and gives one number.

It is a folder that `sentence_transformers.CrossEncoder` opens too: a BERT-like transformer with a classification head
of one output, weights in safetensors, and no code of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....runtime.encoder import length_batches
from ....runtime.errors import InputError
from ....runtime.files import sha256_bytes
from ...settings import CrossEncoderSettings, TeacherSettings
from ...training.accelerator import Device, describe_device, usable_device
from ..bi_encoder import ModelByPrecision, loading
from ..model_folder.unreadable import configuration
from ..protocol import Precision, Role
from ..source import TeacherFiles, is_cross_encoder, naming, resolve_teacher

SEPARATOR = "\x1e"  # between query and document of a pair that travels as one text


@dataclass(frozen=True)
class Tokens:
    """A batch of token ids as the transformer takes it, and where each document begins."""

    inputs: dict[str, Any]  # tensors [rows, longest]
    document_starts: list[int]  # first token of the document; everything before belongs to the query


def resolve_cross_encoder(settings: CrossEncoderSettings) -> TeacherFiles:
    """Return the cross-encoder's folder after checking its weights and its shape.

    Raises `InputError` for pickled weights, code of its own, another kind of model or more than one output.
    """
    with naming("cross_encoder"):
        files = resolve_teacher(
            TeacherSettings(model=settings.model, revision=settings.revision, sha256=settings.sha256)
        )
    path = files.folder / "config.json"
    config = configuration(path)
    if not is_cross_encoder(files.folder):
        raise InputError(
            f"{path} names no ...ForSequenceClassification among its architectures, so that it is no cross-encoder; "
            f"name one under cross_encoder.model, and bi-encoders under teacher.model"
        )
    outputs = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
    if outputs != 1:
        raise InputError(f"{path}: a cross-encoder with {outputs} outputs; choose one with a single score")
    return files


class CrossEncoder:
    """A cross-encoder in memory, on one thread: a `Teacher` of pairs (query, `SEPARATOR`, document), a score each."""

    dimension = 1

    def __init__(self, files: TeacherFiles, settings: CrossEncoderSettings) -> None:
        """Load the folder; raise `InputError` when it cannot be read."""
        import torch
        import transformers

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with loading(files.folder, "cross-encoder"):
            self.model, found = transformers.AutoModelForSequenceClassification.from_pretrained(
                files.folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, **options)
        if found["missing_keys"]:
            lacking = ", ".join(sorted(found["missing_keys"])[:3])
            raise InputError(
                f"{files.folder} lacks weights ({lacking}), so that its scores would be random; complete the folder "
                "or name another cross-encoder"
            )
        if not self.tokenizer.is_fast:
            raise InputError(f"{files.folder} has no fast tokenizer; complete it with tokenizer.json")
        self.files, self._models = files, ModelByPrecision(self.model)
        limits = (self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", 512), 512)
        self.max_length = settings.max_length or int(min(limits))  # tokens of query and document together
        self.batch_tokens = settings.batch_tokens
        self._models.device = usable_device(settings.device)

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a score besides the pair and its neighbours."""
        device = self._models.device
        where = f" {describe_device(device)}" if device != "cpu" else ""
        return sha256_bytes(f"{self.files.fingerprint} {self.max_length} {self.batch_tokens}{where}".encode())

    @property
    def device(self) -> Device:
        """What scores are computed on."""
        return self._models.device

    def tokens(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        """Return pairs as one batch, the longer side shortened where a pair is too long."""
        encoded = self._tokenize(queries, documents, padding=True, return_tensors="pt")
        starts = []
        for row in range(len(queries)):
            sides = encoded.encodings[row].sequence_ids
            # A document without any token: its part is the mark that closes the pair.
            starts.append(sides.index(1) if 1 in sides else int(encoded["attention_mask"][row].sum()) - 1)
        return Tokens(dict(encoded), starts)

    def lengths(self, pairs: Sequence[str], role: Role = "query") -> list[int]:
        """Return how many tokens it reads of each pair."""
        return [len(ids) for ids in self._tokenize(*_split(pairs)).input_ids]

    def encode(self, pairs: Sequence[str], role: Role = "query", precision: Precision = "fp32") -> np.ndarray:
        """Return the scores, float32 [pairs, 1]: the head's own numbers, before any sigmoid."""
        import torch

        model = self._models.get(precision)
        scores = np.empty((len(pairs), 1), np.float32)
        with torch.no_grad():
            for batch in length_batches(self.lengths(pairs), self.batch_tokens):
                tokens = self.tokens(*_split([pairs[index] for index in batch])).inputs
                inputs = {name: tensor.to(self.device) for name, tensor in tokens.items()}
                scores[batch] = model(**inputs).logits.float().cpu().numpy()
        if not np.isfinite(scores).all():
            raise InputError(f"{self.files.name} gives scores that are no numbers; check the cross-encoder's weights")
        return scores

    def _tokenize(self, queries: Sequence[str], documents: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(
            list(queries), list(documents), truncation="longest_first", max_length=self.max_length, **options
        )


def load_cross_encoder(settings: CrossEncoderSettings) -> CrossEncoder:
    """Resolve and load a cross-encoder; see `resolve_cross_encoder` for the errors."""
    return CrossEncoder(resolve_cross_encoder(settings), settings)


def _split(pairs: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    queries, documents = zip(*(pair.split(SEPARATOR, 1) for pair in pairs), strict=True)
    return queries, documents
