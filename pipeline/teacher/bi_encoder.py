"""Find a teacher, check that it is the one meant, and load it whole.

A teacher is a sentence-transformers model: a list of modules (transformer, pooling, dense, normalise) and prompts.
It is named by `package:NAME` (an installed package that carries the weights), by a local folder, or by a hub id with
a pinned revision. Weights are read from safetensors only, and no code that comes with a model is run.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes
from ..settings import TeacherSettings
from .source import TeacherFiles, is_cross_encoder

Role = Literal["query", "document"]
Precision = Literal["fp32", "bf16"]


class LoadedTeacher:
    """A teacher in memory, on one thread."""

    def __init__(self, files: TeacherFiles, settings: TeacherSettings) -> None:
        """Load the folder; raise `InputError` when it is no bi-encoder that can be read."""
        if is_cross_encoder(files.folder):
            raise InputError(
                f"{files.folder} is a cross-encoder, which gives scores of pairs and no vectors; "
                f"name it under cross_encoder.model, and a bi-encoder under teacher.model"
            )
        import torch
        import transformers
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            model = SentenceTransformer(
                str(files.folder),
                device="cpu",
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{files.folder} cannot be loaded as a teacher ({reason}); check the folder") from None
        model.eval()
        self.files, self.model = files, model
        self._half: Any = None  # the model in bfloat16, made when first asked for
        prompts = dict(model.prompts or {})
        model.default_prompt_name = None  # prompts are given by role, below
        self.prompts: dict[Role, str] = {
            "query": settings.query_prompt or prompts.get("query") or "",
            "document": settings.document_prompt or prompts.get("document") or prompts.get("passage") or "",
        }
        if settings.max_length:
            model.max_seq_length = settings.max_length
        self.max_length: int = int(model.max_seq_length or 0)  # tokens; 0: no limit
        self.batch_tokens = settings.batch_tokens
        self.dimension = int(self._forward(["dimension"], "document").shape[1])

    @property
    def pooling(self) -> str:
        """Name of the pooling, such as `mean`; `none` without a pooling module."""
        for module in self._modules():
            mode = getattr(module, "pooling_mode", None)
            if mode is None and hasattr(module, "get_pooling_mode_str"):
                mode = module.get_pooling_mode_str()
            if mode is not None:
                return str(mode)
        return "none"

    @property
    def first(self) -> "LoadedTeacher":
        """The teacher itself; of several, the one of the recipe's `teacher.model`."""
        return self

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What each of several teachers adds to the vector; of one teacher there are none."""
        return []

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        return self.prompts["query"] == self.prompts["document"]

    @property
    def modules(self) -> list[str]:
        """Names of the modules in order."""
        return [type(module).__name__ for module in self._modules()]

    def _modules(self) -> list[Any]:
        return list(self.model.children())

    def token_table(self) -> np.ndarray:
        """Return the input embeddings, float32 [teacher vocabulary, hidden]."""
        transformer: Any = getattr(self.model[0], "auto_model", None)
        if transformer is None:
            raise InputError(f'{self.files.name}: this teacher has no token table; set student.initialise = "random"')
        return transformer.get_input_embeddings().weight.detach().float().numpy().copy()

    def bert_tensors(self) -> dict[str, Any]:
        """Return the tensors of the transformer by their `BertModel` names; none for another architecture."""
        transformer: Any = getattr(self.model[0], "auto_model", None)
        if transformer is None or transformer.config.model_type != "bert":
            return {}
        return {name: tensor.float() for name, tensor in transformer.state_dict().items()}

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens the teacher reads of each text."""
        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        if backend is None:  # teachers without a fast tokenizer: sorted by an estimate, which costs padding only
            return [max(1, len(text) // 4) for text in texts]
        backend.no_padding()
        backend.no_truncation()
        prompt, limit = self.prompts[role], self.max_length or 1_000_000
        # No token is longer than some dozens of characters, so a long text is cut before it is tokenised.
        return [
            min(len(item.ids), limit)
            for item in backend.encode_batch_fast([prompt + text[: 32 * limit] for text in texts])
        ]

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]. The same texts in one call give the same bytes.

        With `precision` = "bf16" the transformer computes in bfloat16.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in batches(self.lengths(texts, role), self.batch_tokens):
            vectors[batch] = self._forward([texts[index] for index in batch], role, precision)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            bad = int(np.flatnonzero(~np.isfinite(norms[:, 0]))[0])
            raise InputError(f"the teacher gives no finite vector for {texts[bad][:60]!r}; check the teacher's weights")
        return vectors / np.maximum(norms, 1e-12)

    def _forward(self, texts: list[str], role: Role, precision: Precision = "fp32") -> np.ndarray:
        if precision == "bf16" and self._half is None:
            import torch

            self._half = copy.deepcopy(self.model).to(torch.bfloat16)
        model = self.model if precision == "fp32" else self._half
        return model.encode(
            texts,
            prompt=self.prompts[role] or None,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )


def reading_fingerprint(teacher: LoadedTeacher) -> str:
    """Return a hash of all that decides a vector besides the text and its neighbours."""
    parts = [teacher.files.fingerprint, teacher.max_length, teacher.batch_tokens, teacher.prompts]
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())


def batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Return batches of indices: neighbours in length, at most `most_tokens` with their padding, at least one text."""
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if found and (len(found[-1]) + 1) * lengths[index] <= most_tokens:
            found[-1].append(index)
        else:
            found.append([index])
    return found
