"""Requests to a server of embeddings: OpenAI's `/v1/embeddings`, and `/embed` of text-embeddings-inference.

Redirects are not followed, so the key never reaches another server than the one that the recipe names.
"""

import base64
import binascii
import email.utils
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....runtime.errors import InputError, UnavailableError
from ...settings import TeacherSettings
from .address import Address, ApiKey

_LATER = (408, 425, 429, 500, 502, 503, 504)  # what another try may change
_LONGEST_WAIT = 60.0
_SECONDS = 120  # for one answer
_MOST_BYTES = 1 << 30


class _Again(Exception):  # noqa: N818  no error yet
    """A request that may be tried again, `seconds` later where the server says so."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Follow none: a redirect arrives as the answer that it is."""


@dataclass(frozen=True)
class Answer:
    """Vectors of one request, as the server gave them."""

    vectors: np.ndarray  # float32 [texts, dimension]
    tokens: int | None  # what the server counted, where it says so


class EndpointClient:
    """One server; may be used by several threads."""

    def __init__(self, settings: TeacherSettings) -> None:
        """Take the address and the key; nothing is asked yet."""
        self.address, self._key = Address.of(settings.model), ApiKey(settings.api_key_variable)
        self._model, self._patience = settings.endpoint_model, float(settings.endpoint_patience)
        self._encoding = "base64"
        self._pause = 60.0 / settings.requests_per_minute if settings.requests_per_minute else 0.0
        self._next, self._lock = 0.0, threading.Lock()
        self._opener = urllib.request.build_opener(_NoRedirects)
        self.requests = 0

    def information(self) -> dict[str, Any]:
        """Return what the server says of its model at `/info`; nothing where it has none."""
        if not self.address.embed:
            return {}
        try:
            found = self._send(self.address.beside("/info"), None)
        except (_Again, InputError):
            return {}
        return found if isinstance(found, dict) else {}

    def embed(self, texts: Sequence[str], patience: float | None = None) -> Answer:
        """Return the vectors of `texts` in order; `patience`: seconds to go on trying where not the recipe's.

        Raises `UnavailableError` when the server does not answer, `InputError` when it refuses or answers otherwise
        than the interface says.
        """
        inputs = [text if text.strip() else "." for text in texts]  # servers refuse the empty text
        if self.address.embed:
            return Answer(
                _rows(self._try({"inputs": inputs, "normalize": True, "truncate": True}, patience), inputs), None
            )
        body = {"model": self._model or "default", "input": inputs, "encoding_format": self._encoding}
        try:
            found = self._try(body, patience)
        except InputError as error:
            if "encoding_format" not in str(error):
                raise
            self._encoding = "float"  # a server that does not know the short form
            found = self._try(body | {"encoding_format": "float"}, patience)
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise self._strange('no list "data"')
        order = [item.get("index", place) for place, item in enumerate(data)]
        if sorted(map(str, order)) != sorted(map(str, range(len(inputs)))):
            raise self._strange(f"{len(data)} vectors for {len(inputs)} texts, or with wrong numbers")
        by_index = {int(place): item.get("embedding") for place, item in zip(order, data, strict=True)}
        usage = found.get("usage") or {}
        counted = usage.get("prompt_tokens", usage.get("total_tokens")) if isinstance(usage, dict) else None
        vectors = _rows([by_index[place] for place in range(len(inputs))], inputs)
        return Answer(vectors, counted if isinstance(counted, int) and counted > 0 else None)

    def _strange(self, what: str) -> InputError:
        return InputError(f"{self.address.url} answers with {what}; is it a server of embeddings?")

    def _try(self, body: dict[str, Any], patience: float | None) -> Any:
        """Send until there is an answer; wait longer from time to time, and as long as the server asks for."""
        ends = time.monotonic() + (self._patience if patience is None else min(patience, self._patience))
        wait, tries = 0.5, 0
        while True:
            tries += 1
            self._wait_for_turn()
            try:
                return self._send(self.address.url, body)
            except _Again as again:
                seconds = again.seconds or wait * random.uniform(0.75, 1.25)
                if time.monotonic() + seconds > ends:
                    raise UnavailableError(
                        f"{self.address.url} does not answer after {tries} tries ({again}); start it, or raise "
                        "teacher.endpoint_patience, and run the same command again: answered texts are kept"
                    ) from None
                time.sleep(seconds)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _wait_for_turn(self) -> None:
        with self._lock:
            self.requests += 1
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._pause
        time.sleep(turn - now)

    def _send(self, url: str, body: dict[str, Any] | None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | self._key.headers()
        request = urllib.request.Request(url, data, headers)
        try:
            with self._opener.open(request, timeout=_SECONDS) as stream:
                return json.loads(stream.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise self._refused(url, error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise _Again(self._key.hidden(str(reason) or type(error).__name__)) from None
        except ValueError:
            raise self._strange("no JSON") from None

    def _refused(self, url: str, error: urllib.error.HTTPError) -> Exception:
        """Return what an answer with an error's status means."""
        with error:
            try:
                said = error.read(2000).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                said = ""
        if 300 <= error.code < 400:
            new = self._key.hidden(error.headers.get("Location", "nowhere").partition("?")[0])
            return InputError(f"{url} sends on to {new}, and the key goes nowhere else; name that address if right")
        said = " ".join(self._key.hidden(said).split())[:300]
        if error.code in _LATER:
            return _Again(f"{error.code} {said}".strip(), _retry_after(error.headers.get("Retry-After", "")))
        advice = {
            401: "set the key that teacher.api_key_variable names",
            403: "set the key that teacher.api_key_variable names",
            404: "fix teacher.model or teacher.endpoint_model",
            413: "lower teacher.endpoint_texts or teacher.batch_tokens",
        }.get(error.code, "lower teacher.max_length, teacher.endpoint_texts or teacher.batch_tokens, or fix the server")
        return InputError(f"{url} refuses the request ({error.code} {said}); {advice}")


def _retry_after(text: str) -> float:
    """Return the seconds of a `Retry-After`, which may be a number or a date; 0 for none."""
    if text.strip().isdigit():
        return max(float(text), 0.01)
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.01)
    except (ValueError, TypeError):
        return 0.0


def _rows(values: Any, texts: Sequence[str]) -> np.ndarray:
    """Return lists of numbers, or their bytes in base64, as float32 [texts, dimension]."""
    try:
        rows = [
            np.frombuffer(base64.b64decode(row, validate=True), "<f4")
            if isinstance(row, str)
            else np.asarray(row, np.float32)
            for row in values
        ]
        matrix = np.stack(rows).astype(np.float32)
    except (ValueError, TypeError, binascii.Error):
        raise InputError(
            "the server's vectors are no numbers, or not all of one length; is it one of embeddings?"
        ) from None
    if matrix.ndim != 2 or len(matrix) != len(texts) or not matrix.shape[1]:
        raise InputError(f"the server answers {len(texts)} texts with {matrix.shape} numbers; is it one of embeddings?")
    if not np.isfinite(matrix).all():
        bad = int(np.flatnonzero(~np.isfinite(matrix).all(1))[0])
        raise InputError(f"the server gives no finite vector for {texts[bad][:60]!r}; check its model")
    return matrix
