"""JSON whose last line is the SHA-256 of all lines above it, so that any changed byte shows.

The digest guards against accidents, not against forgery: whoever can rewrite the file can rewrite the digest too.
"""

import json
from pathlib import Path
from typing import Any

from ..errors import InputError, VerificationError
from ..files import is_object, json_bytes, sha256_bytes, unique_keys


def sealed_bytes(mapping: Any, key: str) -> bytes:
    """Return `mapping` as readable JSON; its last entry, `key`, becomes the digest of everything above it."""
    data = json_bytes(mapping)
    return _seal(data[: data.rindex(_digest_line(key))], key)


def parse_sealed(
    data: bytes, path: Path, key: str, version: int, advice: str, older: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Return the object in `data`, the content of `path`; `key` is that of the digest, `advice` the next action.

    Raises `InputError` where another `schema_version` than `version` or those in `older` wrote it, `VerificationError`
    where it is damaged: not JSON, or not byte for byte what was written.
    """
    try:
        mapping = json.loads(data.decode("utf-8"), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path} is damaged: {error}; {advice}") from None
    found = mapping.get("schema_version") if is_object(mapping) else None
    if isinstance(found, int) and found not in (version, *older):
        raise InputError(
            f"{path} has schema version {found}, this pocketrank reads {version}; use the pocketrank that wrote it, "
            f"or {advice}"
        )
    if not is_object(mapping) or data != _seal(data[: max(data.rfind(_digest_line(key)), 0)], key):
        raise VerificationError(f"{path} was changed after it was written: it does not match its own {key}; {advice}")
    return mapping


def _digest_line(key: str) -> bytes:
    return f'  "{key}": "'.encode("ascii")


def _seal(content: bytes, key: str) -> bytes:
    return content + _digest_line(key) + sha256_bytes(content).encode("ascii") + b'"\n}\n'
