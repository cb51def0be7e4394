"""A server of embeddings as teacher."""

import json
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....runtime.errors import InputError
from ....runtime.files import sha256_bytes
from ...settings import TeacherSettings
from ..protocol import Precision, Role, TeacherIdentity, WithoutWeights
from ..vectors.files import read_shard, write_shard
from .admission import TEXTS, admit
from .answers import AnswerStore
from .client import EndpointClient

_AT_A_TIME = 4  # requests
_FIRST_PATIENCE = 5.0  # seconds: a dead server is said at once
_SAME_MODEL = 0.999  # cosine of the vectors that it gave when its kept answers were made


class EndpointTeacher(WithoutWeights):
    """A server that was admitted, with all the answers that it has given."""

    def __init__(self, settings: TeacherSettings, answers: Path | None = None) -> None:
        """Admit the server; answers are kept in the folder `answers`, or in memory.

        Raises `UnavailableError` for one that does not answer, `InputError` for one that cannot teach.
        """
        self._settings, self._client = settings, EndpointClient(settings)
        said = self._client.information()
        kind = said.get("model_type")
        pooling = kind.get("embedding", {}).get("pooling") if isinstance(kind, dict) else None
        self._pooling = str(pooling or "the server's")
        self.max_length = settings.max_length
        says = settings.max_length or said.get("max_input_length") or 0
        ask = partial(self._client.embed, patience=_FIRST_PATIENCE)
        self.admission = admit(ask, settings.endpoint_texts, self._client.address.embed, int(says))
        self.dimension = self.admission.dimension
        self.prompts: dict[Role, str] = {"query": settings.query_prompt, "document": settings.document_prompt}
        name = settings.endpoint_model or str(said.get("model_id") or self._client.address.url)
        facts = [name, said.get("model_sha"), said.get("model_dtype"), pooling, self.dimension]
        sha256 = sha256_bytes(json.dumps(facts).encode())
        if settings.sha256 not in ("", sha256):
            raise InputError(
                f"{self._client.address.url} says of itself what has the hash {sha256}, and {settings.sha256} is "
                "expected; name the right server or fix teacher.sha256"
            )
        reading = [*facts, self.max_length, self.prompts]
        self.fingerprint = sha256_bytes(json.dumps(reading, sort_keys=True).encode())
        self.files = TeacherIdentity(name, settings.revision, sha256, self.fingerprint, {"weights": "unknown"})
        folder = answers / self.fingerprint[:40] if answers else None
        self._answers, self._lock = AnswerStore(folder), threading.Lock()
        self._asked = {"requests": 0, "texts": 0, "tokens_estimated": 0, "tokens_counted": 0}
        if folder:
            self._check_same_model(folder)

    @property
    def reading(self) -> dict[str, Any]:
        """How it reads, and what it has cost."""
        return {
            "max_length": self.max_length,
            "pooling": self._pooling,
            "modules": [],
            "precision": "the server's",
            "prompts": dict(self.prompts),
            "endpoint": {
                "url": self._client.address.url,
                "admission": self.admission.record(),
                "this_run": dict(self._asked),
            },
        }

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return an estimate of the tokens of each text: the server's tokenizer is not here."""
        return [estimated_tokens(text) for text in self._inputs(texts, role)]

    def bill(self, texts: Iterable[tuple[str, Role]]) -> str:
        """Say what these texts will cost: how many are asked for, and an estimate of their tokens."""
        asked = kept = tokens = 0
        seen: set[bytes] = set()
        for text, role in texts:
            (given,) = self._inputs([text], role)
            key = AnswerStore.key(given)
            if key in seen:
                continue
            seen.add(key)
            if key in self._answers:
                kept += 1
            else:
                asked, tokens = asked + 1, tokens + estimated_tokens(given)
        return f"{asked:,} texts to ask for, about {tokens:,} tokens (estimated); {kept:,} were answered before"

    @property
    def bill_paid(self) -> str:
        """What this run asked for."""
        asked = self._asked
        counted = f"{asked['tokens_counted']:,} tokens as the server counts them, " if asked["tokens_counted"] else ""
        return (
            f"{asked['texts']:,} texts in {asked['requests']:,} requests, {counted}"
            f"{asked['tokens_estimated']:,} tokens as estimated"
        )

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]; what was answered before is not asked for."""
        inputs = self._inputs(texts, role)
        keys = [AnswerStore.key(text) for text in inputs]
        missing = {key: text for key, text in zip(keys, inputs, strict=True) if key not in self._answers}
        with ThreadPoolExecutor(self._settings.workers or _AT_A_TIME) as threads:
            batches = [threads.submit(self._ask, batch) for batch in self._batches(missing)]
            try:
                for batch in batches:
                    batch.result()
            finally:
                threads.shutdown(cancel_futures=True)  # answers that are on their way are still kept
        vectors = np.stack([self._answers.vector(key) for key in keys]) if keys else np.empty((0, self.dimension))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)

    def _inputs(self, texts: Sequence[str], role: Role) -> list[str]:
        prompted = (self.prompts[role] + text for text in texts)
        return [cut(text, self.max_length) if self.max_length else text for text in prompted]

    def _batches(self, missing: dict[bytes, str]) -> Iterator[dict[bytes, str]]:
        """Yield texts of like length: at most `endpoint_texts`, of about `batch_tokens` tokens."""
        batch: dict[bytes, str] = {}
        tokens = 0
        for key, text in sorted(missing.items(), key=lambda item: estimated_tokens(item[1])):
            more = estimated_tokens(text)
            if batch and (len(batch) >= self._settings.endpoint_texts or tokens + more > self._settings.batch_tokens):
                yield batch
                batch, tokens = {}, 0
            batch[key] = text
            tokens += more
        if batch:
            yield batch

    def _ask(self, batch: dict[bytes, str]) -> None:
        answer = self._client.embed(list(batch.values()))
        if answer.vectors.shape[1] != self.dimension:
            raise InputError(
                f"{self._client.address.url} now gives vectors of {answer.vectors.shape[1]} dimensions, and gave "
                f"{self.dimension} before; look at the server"
            )
        self._answers.add(list(batch), answer)
        with self._lock:
            self._asked["requests"] += 1
            self._asked["texts"] += len(batch)
            self._asked["tokens_estimated"] += sum(map(estimated_tokens, batch.values()))
            self._asked["tokens_counted"] += answer.tokens or 0

    def _check_same_model(self, folder: Path) -> None:
        """Hold the server against what it answered when the answers in `folder` were made."""
        path, texts = folder / "admission.f32", TEXTS[::8]
        now = self._client.embed(texts).vectors
        now = now / np.linalg.norm(now, axis=1, keepdims=True)
        before = read_shard(path)
        if before is None:
            folder.mkdir(parents=True, exist_ok=True)
            write_shard(path, now)
            return
        cosine = float((before.reshape(now.shape) * now).sum(1).min())
        if cosine < _SAME_MODEL:
            raise InputError(
                f"{self._client.address.url} answers otherwise than when the answers in {folder} were made (cosine "
                f"{cosine:.4f}); start the same model again, or remove that folder"
            )


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: four letters of ASCII make one, of other scripts one and a half."""
    plain = sum(map(str.isascii, text))
    return 2 + math.ceil(plain / 4 + (len(text) - plain) / 1.5)


def cut(text: str, tokens: int) -> str:
    """Return the beginning of a text that has at most `tokens` tokens by the estimate."""
    if estimated_tokens(text) <= tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimated_tokens(text[:middle]) <= tokens else (low, middle - 1)
    return text[:low]
