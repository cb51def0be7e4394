"""What tells a document that changed from one that did not: the first 16 bytes of SHA-256 of what it holds.

0  its id
1  its id, its content, and the place where it stands
2  its content: title and text, and whether the text is marked; its passages and their vectors follow from it
"""

import hashlib
import json
from collections.abc import Iterable

import numpy as np

from ..documents.document import Document

ID, WHOLE, CONTENT = range(3)
_BYTES = 16
DIGEST = np.dtype(f"S{_BYTES}")


def document_digests(document: Document) -> bytes:
    """Return the three digests of `document`, one behind the other."""
    place = document.place
    content = _digest(document.title, document.text, document.marked)
    whole = _digest(document.id, content.hex(), place.file, place.line, place.follows)
    return _digest(document.id) + whole + content


def as_digests(data: bytes | bytearray) -> np.ndarray:
    """Return the digests of documents, one behind the other in `data`, as an array [documents, 3]."""
    return np.frombuffer(bytes(data), dtype=DIGEST).reshape(-1, 3)


def digests_of(documents: Iterable[Document]) -> np.ndarray:
    """Return the digests of `documents`, read once: [documents, 3]."""
    data = bytearray()
    for document in documents:
        data += document_digests(document)
    return as_digests(data)


def find(digests: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return where each of `digests` [n] is `among` others [m]: the first place, or -1; int64 [n]."""
    if not len(among):
        return np.full(len(digests), -1, dtype=np.int64)
    order = np.argsort(among, kind="stable")
    places = np.searchsorted(among, digests, sorter=order)
    found = order[np.minimum(places, len(among) - 1)]
    return np.where(among[found] == digests, found, -1)


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).digest()[:_BYTES]
