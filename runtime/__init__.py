"""What runs on the device: bundles, the encoder, the index and search. numpy, tokenizers and onnxruntime only.

The four names below are the door for other programs; each is loaded when it is first used.

>>> from pocketrank.runtime import DocumentIndex, Encoder
>>> encoder, index = Encoder.open("bundle"), DocumentIndex.open("index")
>>> [hit.id for hit in index.search(encoder.encode_query("merge two sorted lists"), k=1)]
['lists']
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .encoder import Encoder
    from .search.hybrid import HybridIndex
    from .search.index import DocumentIndex
    from .verify import verify_bundle

# The onnxruntime wheels report usage by default since 1.29; a device that ranks in private must not.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["DocumentIndex", "Encoder", "HybridIndex", "verify_bundle"]

_MODULES = {
    "DocumentIndex": "search.index",
    "Encoder": "encoder",
    "HybridIndex": "search.hybrid",
    "verify_bundle": "verify",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
