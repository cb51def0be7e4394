"""A bi-encoder as teacher: a sentence-transformers model of modules (transformer or static table, pooling, dense, …).

Weights are read from safetensors only, and no code that comes with a model is run; `source.py` finds and checks them.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.encoder import length_batches
from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes
from ..settings import TeacherSettings
from ..training.accelerator import Device, describe_device
from .model_folder.adapter import whole_model
from .prompts import chosen_prompts
from .protocol import Precision, Role
from .source import TeacherFiles, is_cross_encoder


class BiEncoder:
    """One bi-encoder in memory, on one thread."""

    def __init__(self, files: TeacherFiles, settings: TeacherSettings) -> None:
        """Load the folder; raise `InputError` when it is no bi-encoder that can be read."""
        if is_cross_encoder(files.folder):
            raise InputError(
                f"{files.folder} is a cross-encoder, which gives scores of pairs and no vectors; "
                f"name it under cross_encoder.model, and a bi-encoder under teacher.model"
            )
        from sentence_transformers import SentenceTransformer

        def load() -> SentenceTransformer:
            with whole_model(files.folder) as folder:
                return SentenceTransformer(
                    str(folder),
                    device="cpu",
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={"use_safetensors": True},
                )

        with loading(files.folder, "teacher"):
            self.model = _with_all_weights(
                load, files.folder
            ).float()  # weights may be stored in half precision; what computes is `teacher.precision`
        self.files, self._models = files, ModelByPrecision(self.model)
        self.model.default_prompt_name = None  # prompts are given by role, below
        own = {name: text or "" for name, text in (self.model.prompts or {}).items()}
        self.prompts, self.prompts_in_words = chosen_prompts(settings, own)
        if settings.max_length:
            self._cut_at(settings.max_length)
        limit = settings.max_length or self.model.max_seq_length or 0
        self.max_length: int = int(limit) if math.isfinite(limit) else 0  # tokens; 0: no limit
        self.batch_tokens = settings.batch_tokens
        self.dimension = int(self._forward(["dimension"], "document", "fp32").shape[1])

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a vector besides the text and its neighbours."""
        reading = [self.files.fingerprint, self.max_length, self.batch_tokens, self.prompts]
        reading += [describe_device(self._models.device)] if self._models.device != "cpu" else []
        return sha256_bytes(json.dumps(reading, sort_keys=True).encode())

    @property
    def pooling(self) -> str:
        """Name of the pooling, such as `mean`; `none` without a pooling module."""
        modules: list[Any] = list(self.model.children())
        for module in modules:
            mode = getattr(module, "pooling_mode", None)
            if mode is None and hasattr(module, "get_pooling_mode_str"):
                mode = module.get_pooling_mode_str()
            if mode is not None:
                return str(mode)
        return "none"

    @property
    def first(self) -> "BiEncoder":
        """The teacher itself."""
        return self

    @property
    def reading(self) -> dict[str, Any]:
        """How it reads a text, for the record."""
        return {
            "max_length": self.max_length,
            "pooling": self.pooling,
            "modules": self.modules,
            "prompts": dict(self.prompts),
        }

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Nothing: it is no ensemble."""
        return []

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        return self.prompts["query"] == self.prompts["document"] and not self.has_routes

    @property
    def has_routes(self) -> bool:
        """Whether queries and documents take different ways through the model (`Router`, formerly `Asym`)."""
        return any(name in ("Router", "Asym") for name in self.modules)

    @property
    def modules(self) -> list[str]:
        """Names of the modules in order."""
        return [type(module).__name__ for module in self.model.children()]

    def compute_on(self, device: Device) -> None:
        """Compute on another device from now on."""
        self._models.device = device

    @property
    def tokenizer(self) -> Any:
        """The `tokenizers` object without padding and truncation; `None` without a fast tokenizer."""
        tokenizer: Any = self.model.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None and hasattr(tokenizer, "to_str"):  # a static table's own, which cuts as it is set to
            backend = type(tokenizer).from_str(tokenizer.to_str())
        if backend is not None:
            backend.no_padding()
            backend.no_truncation()
        return backend

    def token_table(self) -> np.ndarray | None:
        """Return the input embeddings, float32 [teacher vocabulary, hidden]; `None` where it starts with routes."""
        first: Any = self.model[0]
        if hasattr(first, "auto_model"):
            table = first.auto_model.get_input_embeddings()
        else:
            table = getattr(first, "embedding", None)  # a static table
        return None if table is None else table.weight.detach().float().numpy().copy()

    def bert_tensors(self) -> dict[str, Any]:
        """Return the tensors of the transformer by their `BertModel` names; none for another architecture."""
        transformer: Any = getattr(self.model[0], "auto_model", None)
        if transformer is None or transformer.config.model_type != "bert":
            return {}
        return {name: tensor.float() for name, tensor in transformer.state_dict().items()}

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens the teacher reads of each text."""
        backend = self.tokenizer
        if backend is None:  # teachers without a fast tokenizer: sorted by an estimate, which costs padding only
            return [max(1, len(text) // 4) for text in texts]
        prompt, limit = self.prompts[role], self.max_length or 1_000_000
        # No token is longer than some dozens of characters, so a long text is cut before it is tokenised.
        return [
            min(len(item.ids), limit)
            for item in backend.encode_batch_fast([prompt + text[: 32 * limit] for text in texts])
        ]

    def characters_read(self, text: str, role: Role) -> int:
        """Return how many characters of a text it reads: all where the text is within its limit of tokens."""
        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        if backend is None or not self.max_length:
            return len(text)
        backend.no_padding()
        backend.no_truncation()
        prompt, head = self.prompts[role], text[: 32 * self.max_length]
        encoding = backend.encode(prompt + head)
        if len(encoding.ids) <= self.max_length:
            return len(head)
        words = [
            end for (_, end), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True) if not special
        ]
        room = self.max_length - (len(encoding.ids) - len(words))
        return max(words[room - 1] - len(prompt), 0) if room > 0 else 0

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]; see `Teacher.encode`."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        lengths = [max(length, 1) for length in self.lengths(texts, role)]  # a text without tokens has a vector too
        for batch in length_batches(lengths, self.batch_tokens):
            vectors[batch] = self._forward([texts[index] for index in batch], role, precision)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            bad = int(np.flatnonzero(~np.isfinite(norms[:, 0]))[0])
            raise InputError(f"the teacher gives no finite vector for {texts[bad][:60]!r}; check the teacher's weights")
        return vectors / np.maximum(norms, 1e-12)

    def _cut_at(self, length: int) -> None:
        modules: list[Any] = list(self.model.modules())
        for module in modules:
            if type(module).__name__ == "StaticEmbedding":
                module.tokenizer.enable_truncation(length)
            elif hasattr(module, "auto_model"):
                module.max_seq_length = length

    def _forward(self, texts: list[str], role: Role, precision: Precision) -> np.ndarray:
        route = {"task": role} if self.has_routes else {}
        return self._models.get(precision).encode(
            texts,
            **route,
            prompt=self.prompts[role] or None,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )


def _with_all_weights(load: Callable[[], Any], folder: Path) -> Any:
    """Return the model; raise `InputError` when its files lack weights that its vectors depend on.

    What is not in the files is drawn at random, with no more than a warning. A model that drew any is loaded once
    more, with other draws: some have weights that no vector depends on, such as the pooler of BERT.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        model = load()
        if torch.equal(torch.get_rng_state(), before):
            return model
        torch.manual_seed(2)
        other = load()
    for encode, again in ((model.encode_query, other.encode_query), (model.encode_document, other.encode_document)):
        if not np.array_equal(encode(["one text"]), again(["one text"]), equal_nan=True):
            raise InputError(
                f"{folder} lacks weights that its config.json announces, so that its vectors would be random; complete "
                "the folder, or name another teacher"
            )
    return model


class ModelByPrecision:
    """A model in float32 on the processor, and its copies in bfloat16 and on other devices, made when asked for."""

    def __init__(self, model: Any) -> None:
        """Take a torch module in float32 and switch it to inference."""
        self.device: Device = "cpu"  # that the next model computes on
        self._models: dict[tuple[Device, Precision], Any] = {("cpu", "fp32"): model.eval()}

    def get(self, precision: Precision) -> Any:
        """Return the model that computes in `precision`."""
        wanted = (self.device, precision)
        if wanted not in self._models:
            import torch

            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            self._models[wanted] = copy.deepcopy(self._models["cpu", "fp32"]).to(self.device, dtype)
        return self._models[wanted]


@contextmanager
def loading(folder: Path, kind: str) -> Iterator[None]:
    """Set torch to one thread and transformers to silence; turn what loading raises into an `InputError`."""
    import torch
    import transformers
    from safetensors import SafetensorError

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be loaded as a {kind} ({reason}); check the folder") from None
