"""Find a cross-encoder, check it, and load it.

A cross-encoder reads a query and a document as one text and gives one number. It is a folder that
`sentence_transformers.CrossEncoder` opens too: a BERT-like transformer with a classification head of one output,
weights in safetensors, and no code of its own.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_json, sha256_bytes
from ..settings import CrossEncoderSettings, TeacherSettings
from .bi_encoder import Precision, Role, batches
from .source import TeacherFiles, is_cross_encoder, naming, resolve_teacher

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
    config = read_json(path) if path.is_file() else {}
    if config.get("auto_map"):
        raise InputError(f"{path}: this model comes with code of its own, which is not run; choose another")
    if not is_cross_encoder(files.folder):
        raise InputError(
            f"{path} names no ...ForSequenceClassification among its architectures, so that it is no cross-encoder; "
            f"name one under cross_encoder.model, and bi-encoders under teacher.model"
        )
    outputs = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
    if outputs != 1:
        raise InputError(f"{path}: a cross-encoder with {outputs} outputs; one with a single score is needed")
    return files


class LoadedCrossEncoder:
    """A cross-encoder in memory, on one thread.

    To `shards.encode_shards` it is a teacher of pairs (query, `SEPARATOR`, document) with vectors of one number.
    """

    dimension = 1

    def __init__(self, files: TeacherFiles, settings: CrossEncoderSettings) -> None:
        import torch
        import transformers
        from safetensors import SafetensorError

        torch.set_num_threads(1)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                files.folder, use_safetensors=True, dtype=torch.float32, **options
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, **options)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{files.folder} cannot be loaded as a cross-encoder ({reason}); check the folder"
            ) from None
        if not tokenizer.is_fast:
            raise InputError(f"{files.folder} has no fast tokenizer; complete it with tokenizer.json")
        model.eval()
        self.files, self.model, self.tokenizer = files, model, tokenizer
        self._half: Any = None
        limits = (tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512), 512)
        self.max_length = settings.max_length or int(min(limits))
        self.batch_tokens = settings.batch_tokens

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides a score besides the pair and its neighbours."""
        return sha256_bytes(f"{self.files.fingerprint} {self.max_length} {self.batch_tokens}".encode())

    def tokens(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        """Return pairs as one batch, the longer side shortened where a pair is too long."""
        found = self.tokenizer(
            list(queries),
            list(documents),
            truncation="longest_first",
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        starts = []
        for row in range(len(queries)):
            sides = found.encodings[row].sequence_ids
            # A document without any token: its part is the mark that closes the pair.
            starts.append(sides.index(1) if 1 in sides else int(found["attention_mask"][row].sum()) - 1)
        return Tokens(dict(found), starts)

    def lengths(self, pairs: Sequence[str], role: Role = "query") -> list[int]:
        """Return how many tokens it reads of each pair."""
        return [len(ids) for ids in self._ids(pairs)]

    def _ids(self, pairs: Sequence[str]) -> list[list[int]]:
        queries, documents = zip(*(pair.split(SEPARATOR, 1) for pair in pairs), strict=True)
        return self.tokenizer(
            list(queries), list(documents), truncation="longest_first", max_length=self.max_length
        ).input_ids

    def encode(self, pairs: Sequence[str], role: Role = "query", precision: Precision = "fp32") -> np.ndarray:
        """Return the scores, float32 [pairs, 1]: the head's own numbers, before any sigmoid."""
        import torch

        if precision == "bf16" and self._half is None:
            self._half = copy.deepcopy(self.model).to(torch.bfloat16)
        model = self.model if precision == "fp32" else self._half
        scores = np.empty((len(pairs), 1), np.float32)
        with torch.no_grad():
            for batch in batches(self.lengths(pairs), self.batch_tokens):
                queries, documents = zip(*(pairs[index].split(SEPARATOR, 1) for index in batch), strict=True)
                scores[batch] = model(**self.tokens(queries, documents).inputs).logits.float().numpy()
        if not np.isfinite(scores).all():
            raise InputError(f"{self.files.name} gives scores that are no numbers; check the cross-encoder's weights")
        return scores


def load_cross_encoder(settings: CrossEncoderSettings) -> LoadedCrossEncoder:
    """Resolve and load a cross-encoder; see `resolve_cross_encoder` for the errors."""
    return LoadedCrossEncoder(resolve_cross_encoder(settings), settings)
