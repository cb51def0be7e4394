"""The page of `pocketrank demo`: its parts, and how they become one file."""

import base64
import gzip
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.corpus import Documents
from ...runtime.encoder import Encoder
from ...runtime.errors import UnavailableError, VerificationError
from ...runtime.files import json_bytes, read_bytes, read_text, sha256_bytes
from ...runtime.golden import read_golden
from ...runtime.manifest import GOLDEN_NAME, TOKENIZER_NAME, Manifest, listed_file, read_manifest
from ...runtime.progress import NoProgress, Progress
from ...runtime.text.unknown_words import WARNING_SHARE

# ONNX Runtime Web from npm, the build without graphics processors: the smallest that has every operator of a graph.
RUNTIME_PACKAGE = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MAIL_BYTES = 18_000_000  # common limits are 25 MB after the mail's own encoding, which adds a third

_PARTS = Path(__file__).resolve().parent
_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """The page and what it is made of; `parts` are bytes in the page by name, and add up to it."""

    content: bytes
    parts: dict[str, int]
    documents: int


def read_runtime(folder: Path) -> dict[str, bytes]:
    """Return the files of ONNX Runtime Web, by name, from `folder` (the npm package or its `dist`).

    Raises `UnavailableError` when they are not there and `VerificationError` when they are not the pinned ones.
    """
    files = {}
    for name, digest in RUNTIME_FILES.items():
        path = next((place for place in (folder / "dist" / name, folder / name) if place.is_file()), None)
        if path is None:
            raise UnavailableError(
                f"{folder} has no {name}; run `npm install --ignore-scripts {RUNTIME_PACKAGE}` "
                "and name node_modules/onnxruntime-web by --runtime"
            )
        files[name] = read_bytes(path)
        if sha256_bytes(files[name]) != digest:
            raise VerificationError(f"{path} is not the one of {RUNTIME_PACKAGE}; install exactly that version")
    return files


def make_page(
    bundle: Path,
    documents: Documents,
    runtime: dict[str, bytes],
    examples: Sequence[str] = (),
    title: str = "",
    progress: Progress | None = None,
) -> Page:
    """Return a page that searches `documents` with the default variant of `bundle`, in the browser alone.

    `runtime` comes from `read_runtime`, `examples` are questions that the page offers. Vectors of documents are kept
    in 8 bits with a scale each. The same input always gives the same bytes.
    """
    manifest = read_manifest(bundle)
    encoder = Encoder.open(bundle)
    rows = [{"id": document.id, "title": document.title, "text": document.text} for document in documents]
    texts = [document.full_text for document in documents]
    codes, scales = quantize_vectors(encoder.encode_documents(texts, progress=progress or NoProgress()))
    blocks = {
        "facts": json_bytes(_facts(manifest, examples)),
        "tokenizer": read_bytes(listed_file(bundle, manifest, TOKENIZER_NAME)),
        "model": read_bytes(listed_file(bundle, manifest, manifest.variants[manifest.default_variant].file)),
        "golden": json_bytes(_golden(bundle, manifest)),
        "vectors": codes.tobytes(),
        "scales": scales.astype("<f4").tobytes(),
        "documents": json_bytes(rows),
        "runtime": runtime["ort.wasm.bundle.min.mjs"],
        "wasm": runtime["ort-wasm-simd-threaded.wasm"],
    }
    packed = {name: _block(name, data) for name, data in blocks.items()}
    content = _fill(
        read_text(_PARTS / "page.html"),
        {
            "title": html.escape(title or manifest.name),
            "count": f"{len(rows):,}",
            "facts": html.escape(_summary(manifest, blocks)),
            "licences": html.escape(_licences(manifest)),
            "style": read_text(_PARTS / "page.css"),
            "script": _script(),
            "data": "\n".join(packed.values()),
        },
    ).encode("utf-8")
    parts = {name: len(block) for name, block in packed.items()}
    parts["the page itself"] = len(content) - sum(parts.values())
    return Page(content, parts, len(rows))


def quantize_vectors(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 codes [n, d] and float32 scales [n]; a vector is its codes times its scale."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _facts(manifest: Manifest, examples: Sequence[str]) -> dict[str, Any]:
    prompt = manifest.prompts.query
    facts = {"max_length": manifest.max_length, "query_prompt": prompt, "examples": list(examples)}
    return {**facts, "warning_share": WARNING_SHARE}


def _golden(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    golden, variant = read_golden(listed_file(bundle, manifest, GOLDEN_NAME)), manifest.default_variant
    vectors, tolerance = golden.variants[variant].vectors, golden.tolerance[variant]
    return {"texts": golden.texts, "ids": golden.ids, "vectors": vectors, "tolerance": tolerance}


def _summary(manifest: Manifest, blocks: dict[str, bytes]) -> str:
    ranker = len(blocks["model"]) + len(blocks["tokenizer"])
    return (
        f"Ranker {manifest.name}: {ranker / 1e6:.2f} MB with its tokenizer, {manifest.dimension} dimensions, "
        f"distilled from {manifest.teacher.id}; manifest {manifest.manifest_sha256[:16]}. "
        f"Run by {RUNTIME_PACKAGE} in WebAssembly."
    )


def _licences(manifest: Manifest) -> str:
    own = ", ".join(f"{what}: {licence}" for what, licence in sorted(manifest.licences.items()))
    return (
        f"Ranker: {own or 'not stated'}. ONNX Runtime Web: MIT, © Microsoft Corporation. Page: pocketrank, Apache-2.0."
    )


def _script() -> str:
    """Join the modules into one; they import nothing but each other."""
    parts = [read_text(_PARTS / name) for name in ("characters.js", "tokenizer.js", "search.js")]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", part)) for part in parts)


def _block(name: str, data: bytes) -> str:
    packed = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
    return f'<script type="application/octet-stream" id="data-{name}">{packed}</script>'


def _fill(template: str, values: dict[str, str]) -> str:
    """Put each value where the template says {{name}}, once, without looking into values."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
