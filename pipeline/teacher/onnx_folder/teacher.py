"""An ONNX graph with its tokenizer as teacher, run by ONNX Runtime on one thread."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....runtime.encoder import length_batches, onnxruntime_errors, open_session
from ....runtime.errors import InputError, VerificationError
from ....runtime.files import sha256_bytes
from ....runtime.text.tokenizer_file import open_tokenizer, tokenizer_errors
from ...settings import TeacherSettings
from ..model_folder.unreadable import configuration
from ..prompts import chosen_prompts
from ..protocol import Precision, Role, WithoutWeights
from ..source import TeacherFiles
from .files import graph_of, other_modules, own_max_length, own_pooling

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_TOKENS = ("last_hidden_state", "token_embeddings")
_ADVICE = "complete the folder, or name another teacher"
_TRIAL = ("a text", "another text that has some more words than the first of the two")
_SAME = 0.9999  # cosine; a graph that is quantized while it runs gives others beside other texts


class OnnxTeacher(WithoutWeights):
    """One graph in memory."""

    def __init__(self, files: TeacherFiles, settings: TeacherSettings) -> None:
        """Open the folder; raise `InputError` for a graph that is no bi-encoder's."""
        folder, graph = files.folder, graph_of(files.folder)
        assert graph is not None
        self.files, self._graph = files, graph
        said = configuration(folder / "config_sentence_transformers.json")
        own = {name: text or "" for name, text in (said.get("prompts") or {}).items()}
        self.prompts, self.prompts_in_words = chosen_prompts(settings, own)
        self.max_length = settings.max_length or own_max_length(folder)
        self._tokenizer = open_tokenizer(folder / "tokenizer.json", _ADVICE, InputError, known_parts=False)
        self._tokenizer.enable_truncation(self.max_length)
        self._padding = int(configuration(folder / "config.json").get("pad_token_id") or 0)
        try:
            self._session = open_session(graph)
        except VerificationError as error:
            raise InputError(str(error).rpartition(";")[0] + f"; {_ADVICE}") from None
        self._types = {value.name: value.type for value in self._session.get_inputs()}
        unknown = sorted(self._types.keys() - set(_INPUTS))
        if unknown or "input_ids" not in self._types:
            raise InputError(
                f"{graph} asks for {', '.join(unknown) or 'no input_ids'}; a graph of {', '.join(_INPUTS)} is read, "
                "export it for feature extraction"
            )
        self._output, self.pooling = self._chosen_output(settings)
        self._kept = int(said.get("truncate_dim") or 0) or None
        self.batch_tokens = settings.batch_tokens
        self.dimension = self._run(_TRIAL, "document").shape[1]
        if self._depends_on_neighbours():
            self.batch_tokens = 0

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides a vector besides the text and its neighbours."""
        import onnxruntime

        reading = [self.files.fingerprint, self.max_length, self.batch_tokens, self.prompts, self.pooling]
        return sha256_bytes(json.dumps([*reading, onnxruntime.__version__], sort_keys=True).encode())

    @property
    def reading(self) -> dict[str, Any]:
        """How it reads a text, for the record."""
        return {
            "max_length": self.max_length,
            "pooling": self.pooling,
            "modules": [],
            "prompts": dict(self.prompts),
            "graph": {"file": self._graph.name, "output": self._output, "one_text_at_a_time": not self.batch_tokens},
        }

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens it reads of each text."""
        return [len(ids) for ids in self._ids(texts, role)]

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]; the graph's own number format is that of its weights."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        lengths = [max(length, 1) for length in self.lengths(texts, role)]
        for batch in length_batches(lengths, self.batch_tokens):
            vectors[batch] = self._run([texts[index] for index in batch], role)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            bad = int(np.flatnonzero(~np.isfinite(norms[:, 0]))[0])
            raise InputError(f"{self._graph} gives no finite vector for {texts[bad][:60]!r}; check its weights")
        return vectors / np.maximum(norms, 1e-12)

    def _ids(self, texts: Sequence[str], role: Role) -> list[list[int]]:
        prompt, most = self.prompts[role], 128 * self.max_length
        readable = [(prompt + text[:most]).encode("utf-8", "replace").decode() for text in texts]
        with tokenizer_errors(self.files.folder / "tokenizer.json", _ADVICE, InputError):
            return [item.ids for item in self._tokenizer.encode_batch_fast(readable)]

    def _chosen_output(self, settings: TeacherSettings) -> tuple[str, str]:
        """Return the output that is read, and how its tokens are pooled; "graph" where the graph does it."""
        ranks = {value.name: len(value.shape) for value in self._session.get_outputs()}
        whole = [
            name for name, rank in ranks.items() if rank == 2 and (name == "sentence_embedding" or len(ranks) == 1)
        ]
        tokens = [name for name in _TOKENS if ranks.get(name) == 3] or [name for name in ranks if ranks[name] == 3]
        if whole and not (settings.pooling and tokens):
            return whole[0], "graph"
        others, folder = other_modules(self.files.folder), self.files.folder
        if not tokens or others:
            raise InputError(
                f"{self._graph} has the outputs {', '.join(ranks)}, and "
                + (f"{', '.join(others)} of modules.json is not in it" if others else "none is a vector a token")
                + "; export it with an output sentence_embedding"
            )
        pooling = settings.pooling or own_pooling(folder)
        if not pooling:
            raise InputError(
                f"{folder} does not say how its tokens become one vector (there is no 1_Pooling/config.json); set "
                'teacher.pooling, to "mean" for most models, "cls" for those of BGE, Arctic and mxbai'
            )
        return tokens[0], pooling

    def _depends_on_neighbours(self) -> bool:
        together = self._run(_TRIAL, "document")
        alone = np.concatenate([self._run([text], "document") for text in _TRIAL])
        products = np.linalg.norm(together, axis=1) * np.linalg.norm(alone, axis=1)
        return bool(((together * alone).sum(1) < _SAME * products).any())

    def _run(self, texts: Sequence[str], role: Role) -> np.ndarray:
        rows = self._ids(texts, role)
        length = max(1, *map(len, rows))
        ids = np.full((len(rows), length), self._padding, np.int64)
        mask = np.zeros((len(rows), length), np.int64)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feeds = {
            name: given[name].astype(np.int32 if kind == "tensor(int32)" else np.int64)
            for name, kind in self._types.items()
        }
        try:
            (values,) = self._session.run([self._output], feeds)
        except onnxruntime_errors() as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{self._graph} fails in ONNX Runtime: {reason}; check the graph and its length") from None
        values = np.asarray(values, np.float32)
        return (values if self.pooling == "graph" else pool(values, mask, self.pooling))[:, : self._kept]


def pool(tokens: np.ndarray, mask: np.ndarray, pooling: str) -> np.ndarray:
    """Return one vector a text, [texts, dimension], of `tokens` [texts, length, dimension]."""
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "lasttoken":
        return tokens[np.arange(len(tokens)), np.maximum(mask.sum(1), 1) - 1]
    if pooling == "max":
        return np.where(mask[..., None] > 0, tokens, -np.inf).max(1)
    weights = mask * np.arange(1, mask.shape[1] + 1) if pooling == "weightedmean" else mask
    share = weights / np.maximum(weights.sum(1, keepdims=True), 1)
    return np.einsum("tl,tld->td", share.astype(np.float32), tokens)
