"""Which server a recipe names, and the key that it wants."""

import os
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ....runtime.errors import InputError, UnavailableError

SCHEMES = ("http://", "https://")
_SECRETS = ("key", "token", "secret", "signature", "password")


def is_endpoint(model: str) -> bool:
    """Return whether `teacher.model` names a server."""
    return model.lower().startswith(SCHEMES)


@dataclass(frozen=True)
class Address:
    """Where texts are sent, and in whose language."""

    url: str
    embed: bool  # `/embed` of text-embeddings-inference; else `/v1/embeddings` of OpenAI

    @classmethod
    def of(cls, model: str) -> "Address":
        """Return the address that `teacher.model` names; raise `InputError` when it holds a secret or is none.

        An address without a path of embeddings gets `/v1/embeddings`.
        """
        try:
            parts = urlsplit(model)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            raise InputError("teacher.model is no address of a server; write http://HOST:PORT") from None
        secret = (
            parts.password
            or parts.username
            or any(word in name.lower() for name, _ in parse_qsl(parts.query) for word in _SECRETS)
        )
        if secret:
            raise InputError(
                "teacher.model holds a key, and an address is written into reports; put the key into an environment "
                "variable and name that one in teacher.api_key_variable"
            )
        if not named:
            raise InputError(f"teacher.model = {model!r} names no host; write http://HOST:PORT")
        path = parts.path.rstrip("/")
        if not path.endswith(("/embed", "/embeddings")):
            path += "/embeddings" if path.endswith("/v1") else "/v1/embeddings"
        url = parts._replace(path=path, fragment="").geturl()
        return cls(url, path.endswith("/embed"))

    def beside(self, name: str) -> str:
        """Return the address of another resource of the same server."""
        parts = urlsplit(self.url)
        return parts._replace(path=parts.path.rpartition("/")[0] + name, query="").geturl()


class ApiKey:
    """A key that no message, log or traceback shows."""

    def __init__(self, variable: str) -> None:
        """Read the environment variable; raise `UnavailableError` when it is empty, `InputError` for no key."""
        self._value = os.environ.get(variable, "").strip() if variable else ""
        if variable and not self._value:
            raise UnavailableError(
                f"teacher.api_key_variable: the environment variable {variable} is empty; set it to the server's key"
            )
        if not (self._value.isascii() and self._value.isprintable()):
            raise InputError(f"the environment variable {variable} holds no key in plain characters; set it again")

    def headers(self) -> dict[str, str]:
        """Return the headers that carry it."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hidden(self, text: str) -> str:
        """Return what a server says without the key in it."""
        return text.replace(self._value, "***") if self._value else text
