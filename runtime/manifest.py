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
    sbom.cdx.json                  the bill of materials: teacher, data, packages, licences
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
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, VerificationError
from .files import is_list, is_object, read_bytes, sha256_bytes
from .integrity.listed_files import FileEntry, checked_file, list_entries
from .integrity.sealed import parse_sealed, sealed_bytes
from .schema import from_mapping, to_mapping

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"
GOLDEN_NAME = "golden.json"
REFERENCE, DEFAULT = "model", "model_quantized"  # variants: what the student is, and what is shipped
SIGNATURE_NAME = "model.sig"  # over all other files; it cannot list itself, so no manifest lists it

MOST_BYTES = 4_000_000  # of manifest.json
LONGEST_TEXT = 65_536  # tokens

_ADVICE = "fetch or build the bundle again"
_VERSION = re.compile(r"\d+(\.\d+)*\Z")


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
    space: str = ""  # as `space_of` gives it; bundles that were made before there were names of spaces have none


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
        fields = {key: value for key, value in to_mapping(self).items() if key != "prompts"}  # prompts may break lines
        for text in _strings(fields):
            if not text.isprintable():
                raise ValueError(f"{text[:100]!r} holds a control character; build the bundle again")
        if self.dimension < 1 or not 3 <= self.max_length <= LONGEST_TEXT:
            raise ValueError(
                f"dimension is at least 1 and max_length from 3 to {LONGEST_TEXT:,}; build the bundle again"
            )
        for name, weight in (self.bm25_weight or {}).items():
            if name not in ("bundle", "teacher") or not 0 <= weight < float("inf"):
                raise ValueError(f"bm25_weight {name} = {weight}: bundle and teacher are weighed, from 0; fix it")
        if self.default_variant not in self.variants:
            raise ValueError(f"default_variant {self.default_variant!r} is not among the variants; name one of them")
        self._check_files()

    def _check_files(self) -> None:
        named = [variant.file for variant in self.variants.values()]
        named += [TOKENIZER_NAME] + ([self.pairing.projection] if self.pairing.projection else [])
        for name in named:
            if name not in self.files:
                raise ValueError(f"{name!r} is used but not listed under files; build the bundle again")
        if self.pairing.space not in ("", self.space):
            raise ValueError("pairing.space is not that of teacher and projection; build the bundle again")
        if MANIFEST_NAME in self.files:
            raise ValueError(f"{MANIFEST_NAME} cannot list itself; take it out of files")

    @property
    def space(self) -> str:
        """The space that the bundle's vectors live in, as `space_of` names it; empty without a projection."""
        projection = self.pairing.projection
        return space_of(self.teacher.sha256, self.files[projection].sha256) if projection else ""


def space_of(teacher_sha256: str, projection_sha256: str) -> str:
    """Return the name of a vector space: the SHA-256 of the hashes of a teacher's weights and of a projection's file.

    Vectors that the teacher made and the projection reduced can be compared with those of every student of the space.
    """
    return sha256_bytes(f"{teacher_sha256}\n{projection_sha256}\n".encode())


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a value read from JSON, keys included."""
    if is_object(value):
        yield from value
        yield from _strings(list(value.values()))
    elif is_list(value):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


def shipped_bytes(manifest: Manifest) -> int:
    """Return the bytes that a device needs: the default ONNX file and the tokenizer (not ONNX Runtime itself)."""
    default = manifest.variants[manifest.default_variant].file
    return manifest.files[default].bytes + manifest.files[TOKENIZER_NAME].bytes


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`: its last line holds the digest of everything above it."""
    ordered = {name: manifest.files[name] for name in sorted(manifest.files)}
    return sealed_bytes(to_mapping(dataclasses.replace(manifest, files=ordered, manifest_sha256="")), "manifest_sha256")


def read_manifest(bundle: Path) -> Manifest:
    """Read and check `manifest.json` of the folder `bundle`; the other files are not looked at (`verify_bundle` does).

    Raises `InputError` where there is none, and what `parse_manifest` raises.
    """
    path = bundle / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{bundle} is no bundle: it has no {MANIFEST_NAME}; name a folder that `pocketrank run` made")
    return parse_manifest(read_bytes(path, MOST_BYTES), path)


def parse_manifest(data: bytes, path: Path) -> Manifest:
    """Check `data`, the content of the manifest at `path`.

    Raises `InputError` where it was written by another schema version, `VerificationError` where it is damaged: not
    JSON, or not byte for byte what was written.
    """
    mapping = parse_sealed(data, path, "manifest_sha256", SCHEMA_VERSION, _ADVICE)
    return from_mapping(Manifest, mapping, str(path))


def list_files(bundle: Path) -> dict[str, FileEntry]:
    """Return size and hash of every file below `bundle` but manifest and signature, by name."""
    return list_entries(bundle, {MANIFEST_NAME, SIGNATURE_NAME})


def listed_file(bundle: Path, manifest: Manifest, name: str) -> Path:
    """Return the path of a listed file whose size and hash are right; raise `VerificationError` when they are not."""
    if name not in manifest.files:
        raise VerificationError(f"{bundle} does not list {name} in its {MANIFEST_NAME}; {_ADVICE}")
    return checked_file(bundle, name, manifest.files[name], _ADVICE)
