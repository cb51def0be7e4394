"""A bundle: a folder with everything that ranks, and `manifest.json`, by which anybody can tell that it is unchanged.

    manifest.json                  what the bundle is, and every other file with its size and SHA-256
    onnx/model_quantized.onnx      the default variant, which is shipped
    tokenizer.json                 its tokenizer, in the format of the tokenizers library
    onnx/model.onnx                the same weights in fp32
    onnx/model_mobile.ort          the default variant in ORT format, and the operators that it needs in
                                   onnx/model_mobile.required_operators.config       only with `export.formats`
    projection.safetensors         from the teacher's vectors to the bundle's space         only where they differ
    golden.json                    texts with their vectors, to be replayed
    recipe.toml                    the recipe, every default filled in
    README.md                      the model card
    config.json, tokenizer_config.json, modules.json, 1_Pooling/config.json, sentence_bert_config.json,
    config_sentence_transformers.json      by which sentence-transformers and others open the folder

The graphs read `input_ids` and `attention_mask` and give `last_hidden_state` and `sentence_embedding`: the mean of the
token vectors, scaled to length 1. *Shipped bytes* are the default ONNX file and `tokenizer.json`: what ranking needs.

The manifest lists every other file with its size and SHA-256, and its last line is the SHA-256 of all lines above it,
so any changed byte shows: in a listed file through its hash, in the manifest through its own. The digest guards
against accidents, not against forgery: whoever can rewrite the bundle can rewrite the digest too, so publish it
(`manifest_sha256`) where that matters.
"""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, VerificationError
from .files import is_object, json_bytes, read_bytes, sha256_bytes, sha256_file
from .schema import from_mapping, to_mapping

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"
GOLDEN_NAME = "golden.json"
REFERENCE, DEFAULT = "model", "model_quantized"  # variants: what the student is, and what is shipped
SIGNATURE_NAME = "model.sig"  # over all other files; it cannot list itself, so no manifest lists it

_DIGEST_LINE = b'  "manifest_sha256": "'
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"\d+(\.\d+)*\Z")


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle."""

    bytes: int  # size of the file
    sha256: str  # 64 hexadecimal digits

    def __post_init__(self) -> None:
        """Refuse what no file can have."""
        if self.bytes < 0:
            raise ValueError(f"bytes = {self.bytes} is negative; build the bundle again")
        if not _SHA256.match(self.sha256):
            raise ValueError(f"sha256 = {self.sha256!r} is not 64 hexadecimal digits; build the bundle again")


@dataclass(frozen=True)
class TeacherEntry:
    """The large ranker that the bundle was distilled from; `dimension` is that of its own vectors."""

    id: str  # as the recipe names it
    sha256: str  # of its weights; of an ensemble, of all of them
    dimension: int  # of its own vectors
    revision: str = ""  # commit of a hub model


@dataclass(frozen=True)
class Prompts:
    """Text put in front of every query and of every document before it is tokenized."""

    query: str = ""  # of queries
    document: str = ""  # of documents


@dataclass(frozen=True)
class Variant:
    """One ONNX file of the bundle; `file` is its name relative to the bundle."""

    file: str  # name relative to the bundle
    quantization: str = ""  # in words: "fp32", "int8 table and linear layers", …


@dataclass(frozen=True)
class Pairing:
    """Which vectors live in the same space as the bundle's own.

    Documents encoded by `document_encoder` (the teacher) enter the bundle's space through `projection`.
    """

    document_encoder: str  # id of the teacher
    projection: str = ""  # a file of the bundle; empty: the vectors are used as they are


@dataclass(frozen=True)
class Figure:
    """One measured number, and in words how it was measured."""

    value: float  # the number
    method: str  # how it was measured, in words
    unit: str = ""  # empty: a share or a ratio


@dataclass(frozen=True)
class RuntimeRange:
    """What a runtime must offer to open every variant of the bundle."""

    onnxruntime_min: str  # lowest version that the bundle is meant for
    opsets: dict[str, int]  # operator domain ("" is ai.onnx) -> highest opset version imported
    operators: tuple[str, ...]  # "MatMul" for ai.onnx, "com.microsoft:Attention" otherwise
    onnxruntime_max: str = ""  # highest version; empty: no limit

    def __post_init__(self) -> None:
        """Refuse versions that cannot be compared."""
        for version in (self.onnxruntime_min, self.onnxruntime_max or "0"):
            if not _VERSION.match(version):
                raise ValueError(f"onnxruntime version {version!r} is not of the form 1.23.2; correct it")


@dataclass(frozen=True)
class Manifest:
    """The whole of `manifest.json`. Names of files are relative POSIX paths."""

    name: str  # the recipe's name
    code_version: str  # version of pocketrank that wrote the bundle
    seed: int  # the recipe's seed
    teacher: TeacherEntry  # what the bundle was distilled from
    dimension: int  # of the vectors
    max_length: int  # tokens, [CLS] and [SEP] included
    pooling: str  # mean: the mean of the token vectors, then unit length
    default_variant: str  # name of the variant that is shipped
    variants: dict[str, Variant]  # ONNX files by name
    pairing: Pairing  # whose document vectors fit
    runtime: RuntimeRange  # what is needed to open all variants
    licences: dict[str, str]  # what -> SPDX expression
    files: dict[str, FileEntry]  # every other file, by name relative to the bundle
    prompts: Prompts = field(default_factory=Prompts)  # what is put in front of texts
    quality: dict[str, Figure] = field(default_factory=dict)  # ranking quality on held-out queries, by figure
    parity: dict[str, Figure] = field(default_factory=dict)  # the shipped file against the fp32 file, by figure
    # Of BM25 in hybrid search, where it was chosen for the corpus; by whose vectors the documents have: bundle, teacher
    bm25_weight: dict[str, float] | None = None
    schema_version: int = SCHEMA_VERSION  # of this format
    manifest_sha256: str = ""  # last line of the file, set by `manifest_bytes`

    def __post_init__(self) -> None:
        """Refuse a manifest that contradicts itself."""
        if self.dimension < 1 or self.max_length < 3:
            raise ValueError("dimension must be at least 1 and max_length at least 3; build the bundle again")
        for name, weight in (self.bm25_weight or {}).items():
            if name not in ("bundle", "teacher") or not 0 <= weight < float("inf"):
                raise ValueError(f"bm25_weight {name} = {weight}: bundle and teacher are weighed, from 0; fix it")
        if self.default_variant not in self.variants:
            raise ValueError(f"default_variant {self.default_variant!r} is not among the variants; name one of them")
        named = [variant.file for variant in self.variants.values()]
        named += [TOKENIZER_NAME] + ([self.pairing.projection] if self.pairing.projection else [])
        for name in named:
            if name not in self.files:
                raise ValueError(f"{name!r} is used but not listed under files; build the bundle again")
        if MANIFEST_NAME in self.files:
            raise ValueError(f"{MANIFEST_NAME} cannot list itself; take it out of files")


def shipped_bytes(manifest: Manifest) -> int:
    """Return the bytes that a device needs: the default ONNX file and the tokenizer (not ONNX Runtime itself)."""
    default = manifest.variants[manifest.default_variant].file
    return manifest.files[default].bytes + manifest.files[TOKENIZER_NAME].bytes


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`: its last line holds the digest of everything above it."""
    ordered = {name: manifest.files[name] for name in sorted(manifest.files)}
    data = json_bytes(to_mapping(dataclasses.replace(manifest, files=ordered, manifest_sha256="")))
    return _seal(data[: data.rindex(_DIGEST_LINE)])


def _seal(content: bytes) -> bytes:
    return content + _DIGEST_LINE + sha256_bytes(content).encode("ascii") + b'"\n}\n'


def read_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json` of the folder `bundle`; the other files are not looked at (`verify_bundle` does).

    Raises `InputError` where there is none, and what `parse_manifest` raises.
    """
    path = bundle / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{bundle} is no bundle: it has no {MANIFEST_NAME}; name a folder that `pocketrank run` made")
    return parse_manifest(read_bytes(path), path)


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """Check `data`, the content of the manifest at `path`.

    Raises `InputError` where it was written by another schema version, `VerificationError` where it is damaged: not
    JSON, or not byte for byte what was written.
    """
    try:
        mapping = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path} is damaged: {error}; fetch or build the bundle again") from None
    version = mapping.get("schema_version") if is_object(mapping) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this pocketrank reads {SCHEMA_VERSION}; "
            "use the pocketrank that wrote the bundle, or build it again"
        )
    if data != _seal(data[: max(data.rfind(_DIGEST_LINE), 0)]):
        raise VerificationError(
            f"{path} was changed after it was written: it does not match its own manifest_sha256; "
            "fetch or build the bundle again"
        )
    return from_mapping(Manifest, mapping, str(path))


def list_files(bundle: Path) -> dict[str, FileEntry]:
    """Return size and hash of every file below `bundle` but manifest and signature, by name; links are refused."""
    entries: dict[str, FileEntry] = {}
    for path in sorted(bundle.rglob("*"), key=lambda path: path.relative_to(bundle).as_posix()):
        name = path.relative_to(bundle).as_posix()
        if path.is_symlink():
            raise InputError(f"{path} is a link; a bundle holds plain files only, replace it by the file itself")
        if path.is_file() and name not in (MANIFEST_NAME, SIGNATURE_NAME):
            entries[name] = FileEntry(bytes=path.stat().st_size, sha256=sha256_file(path))
    return entries


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key occurs twice")
    return dict(pairs)
