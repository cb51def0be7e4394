"""Is a bundle what its manifest says? Names, hashes, graphs, tokenizer, and the golden vectors replayed.

A file whose hash is wrong is not run: the checks that would need it fail with that reason.
"""

import importlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .encoder import EMBEDDING_OUTPUT, Encoder
from .errors import InputError, PocketrankError, VerificationError
from .files import read_bytes, read_text, safe_join
from .golden import Golden, largest_difference, read_golden
from .graph_reader import read_graph
from .integrity.listed_files import FileEntry, checked_file, walk_files
from .manifest import GOLDEN_NAME, MANIFEST_NAME, SIGNATURE_NAME, TOKENIZER_NAME, Manifest, read_manifest
from .projection import read_projection
from .required_operators import SUFFIX, required_operators
from .text.tokenizer_file import TextTokenizer

_ADVICE = "fetch or build the bundle again"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def verify_bundle(bundle: str | Path) -> list[Check]:
    """Check the folder `bundle` and return every check, failed ones included: hashes, names, operators, golden vectors.

    Raises `InputError` only when `bundle` is no bundle at all: no folder, or none of the files that make one.

    >>> checks = verify_bundle("bundle")
    >>> [check.name for check in checks if not check.passed]
    []
    """
    bundle = Path(bundle)
    if not bundle.is_dir():
        raise InputError(f"{bundle} is no folder; name the bundle that `pocketrank run` made")
    if not any((bundle / name).exists() for name in (MANIFEST_NAME, TOKENIZER_NAME, "onnx")):
        raise InputError(
            f"{bundle} is no bundle: it holds no {MANIFEST_NAME}; name the folder that `pocketrank run` made"
        )
    try:
        manifest = read_manifest(bundle)
    except PocketrankError as error:
        return [Check(MANIFEST_NAME, False, str(error))]
    checks = [Check(MANIFEST_NAME, True, f"schema {manifest.schema_version}, sha256 {manifest.manifest_sha256[:12]}…")]
    present, strange = walk_files(bundle)
    present -= {MANIFEST_NAME, SIGNATURE_NAME}
    checks += check_names(manifest.files, present, strange)
    looked_at = [
        check_file(bundle, name, manifest.files[name], _ADVICE) for name in sorted(present & set(manifest.files))
    ]
    good = {check.name for check in looked_at if check.passed}
    checks += looked_at
    checks.append(guarded("runtime", lambda: check_runtime(manifest)))
    for name, variant in manifest.variants.items():
        if variant.file.endswith(".onnx"):
            checks.append(
                _needing(good, [variant.file], f"graph {name}", lambda n=name: _check_graph(bundle, manifest, n))
            )
        else:
            needed = [variant.file, f"{variant.file.removesuffix('.ort')}{SUFFIX}"]
            checks.append(_needing(good, needed, f"graph {name}", lambda f=needed: _check_mobile(bundle, manifest, *f)))
    if manifest.pairing.projection:
        needed = [manifest.pairing.projection]
        checks.append(_needing(good, needed, "projection", lambda: _check_projection(bundle, manifest)))
    checks += _check_golden(bundle, manifest, good)
    return checks


def check_names(listed: Collection[str], present: set[str], strange: Sequence[str]) -> Iterator[Check]:
    """Compare the `listed` names of files with those that are `present`; `strange` is what is no file."""
    missing, extra = sorted(set(listed) - present), sorted(present - set(listed))
    yield Check("missing files", not missing, ", ".join(missing) or "none")
    yield Check("extra files", not extra, ", ".join(extra) or "none")
    yield Check("folders that are links, and special files", not strange, ", ".join(strange) or "none")


def check_file(folder: Path, name: str, entry: FileEntry, advice: str) -> Check:
    """Compare size and hash of one file with its `entry`."""
    try:
        checked_file(folder, name, entry, advice)
    except (PocketrankError, OSError) as error:
        return Check(name, False, str(error))
    return Check(name, True, f"{entry.bytes:,} bytes")


def guarded(name: str, check: Callable[[], str]) -> Check:
    """Run `check`, which returns what it saw; an error of pocketrank is a check that failed."""
    try:
        return Check(name, True, check())
    except PocketrankError as error:
        return Check(name, False, str(error))


def _needing(good: set[str], files: list[str], name: str, check: Callable[[], str]) -> Check:
    for file in files:
        if file not in good:
            return Check(name, False, f"not looked at: {file} is missing or damaged")
    return guarded(name, check)


def check_runtime(manifest: Manifest) -> str:
    """Return installed and declared versions; raise `VerificationError` when the bundle is for other versions."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no types
    declared = manifest.runtime
    installed = _version(onnxruntime.__version__)
    text = f"onnxruntime {onnxruntime.__version__}, declared {declared.onnxruntime_min} to "
    text += declared.onnxruntime_max or "any later"
    # A maximum of 1.31 includes 1.31.2: only as many parts count as were declared.
    maximum = _version(declared.onnxruntime_max) if declared.onnxruntime_max else ()
    if installed < _version(declared.onnxruntime_min) or installed[: len(maximum)] > maximum > ():
        raise VerificationError(f"{text}; install a version within the range")
    return text


def _version(text: str) -> tuple[int, ...]:
    parts: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _check_graph(bundle: Path, manifest: Manifest, name: str) -> str:
    path = safe_join(bundle, manifest.variants[name].file)
    facts = read_graph(path)
    inputs = {value.name: value.element for value in facts.inputs}
    outputs = {value.name: value for value in facts.outputs}
    if inputs != {"input_ids": "int64", "attention_mask": "int64"}:
        raise VerificationError(f"inputs are {inputs}, not input_ids and attention_mask of int64; export again")
    embedding = outputs.get(EMBEDDING_OUTPUT)
    if set(outputs) != {"last_hidden_state", EMBEDDING_OUTPUT} or embedding is None:
        raise VerificationError(
            f"outputs are {sorted(outputs)}, not last_hidden_state and {EMBEDDING_OUTPUT}; export again"
        )
    for value in facts.outputs:
        if value.element != "float32" or not value.shape or value.shape[-1] != manifest.dimension:
            raise VerificationError(
                f"{value.name} is {value.element} {value.shape}, not float32 […, {manifest.dimension}]"
            )
    if facts.external_files:
        raise VerificationError(f"keeps tensors outside the file ({', '.join(facts.external_files)}); export again")
    undeclared = sorted(set(facts.operators) - set(manifest.runtime.operators))
    if undeclared:
        raise VerificationError(f"uses operators that the manifest does not declare: {', '.join(undeclared)}")
    for domain, version in facts.opsets.items():
        declared = manifest.runtime.opsets.get(domain)
        if declared is None or version > declared:
            label = domain or "ai.onnx"
            raise VerificationError(f"imports {label} opset {version}, the manifest declares {declared}; export again")
    return f"{sum(facts.operators.values())} nodes, {len(facts.operators)} operators, all declared"


def _check_mobile(bundle: Path, manifest: Manifest, model: str, operators: str) -> str:
    if read_bytes(safe_join(bundle, model))[4:8] != b"ORTM":
        raise VerificationError(f"{model} is not in ORT format; export again")
    required = required_operators(read_text(safe_join(bundle, operators)))
    undeclared = sorted(set(required) - set(manifest.runtime.operators))
    if undeclared:
        raise VerificationError(f"{operators} lists what the manifest does not declare: {', '.join(undeclared)}")
    return f"ORT format, {len(required)} operators required, all declared"


def _check_projection(bundle: Path, manifest: Manifest) -> str:
    projection = read_projection(safe_join(bundle, manifest.pairing.projection))
    wanted = (manifest.teacher.dimension, manifest.dimension)
    if projection.matrix.shape != wanted:
        raise VerificationError(f"takes {projection.matrix.shape} dimensions, the manifest says {wanted}")
    return f"{wanted[0]} to {wanted[1]} dimensions"


def _check_golden(bundle: Path, manifest: Manifest, good: set[str]) -> Iterator[Check]:
    if GOLDEN_NAME not in good:
        yield Check("golden vectors", False, f"not replayed: {GOLDEN_NAME} is missing or damaged")
        return
    try:
        golden = read_golden(bundle / GOLDEN_NAME)
    except InputError as error:
        yield Check("golden vectors", False, str(error))
        return
    tokenizer = [TOKENIZER_NAME]
    yield _needing(good, tokenizer, "golden token ids", lambda: _replay_ids(bundle, manifest, golden))
    for name in sorted(set(manifest.variants) | set(golden.variants)):
        if name not in manifest.variants or name not in golden.variants:
            detail = "is not the same set of variants as in the manifest; build the bundle again"
            yield Check(f"golden vectors {name}", False, f"{GOLDEN_NAME} {detail}")
            continue
        files = [TOKENIZER_NAME, manifest.variants[name].file]
        check = f"golden vectors {name}"
        yield _needing(good, files, check, lambda n=name: _replay_vectors(bundle, manifest, golden, n))


def _replay_ids(bundle: Path, manifest: Manifest, golden: Golden) -> str:
    found = TextTokenizer(bundle / TOKENIZER_NAME, manifest.max_length).ids(golden.texts)
    for number, (text, expected, ids) in enumerate(zip(golden.texts, golden.ids, found, strict=True)):
        if tuple(ids) != expected:
            raise VerificationError(f"text {number} ({text[:40]!r}) gives other token ids; use tokenizers as declared")
    return f"{len(golden.texts)} texts, the same ids"


def _replay_vectors(bundle: Path, manifest: Manifest, golden: Golden, name: str) -> str:
    vectors = Encoder.open(bundle, name).encode(golden.texts, batch_tokens=0).astype(float)
    lengths = np.linalg.norm(vectors, axis=1)
    if np.abs(lengths - 1).max() > 1e-3:
        raise VerificationError(f"vectors have lengths from {lengths.min():.4f} to {lengths.max():.4f} instead of 1")
    difference = largest_difference(golden.variants[name].vectors, vectors, "golden vectors")
    tolerance = golden.tolerance[name]
    advice = "this processor or runtime computes the file differently, choose another variant"
    if difference > tolerance:
        raise VerificationError(f"largest difference {difference:.2g}, allowed {tolerance:.2g}; {advice}")
    detail = f"{len(vectors)} texts, largest difference {difference:.2g} of {tolerance:.2g}"
    if name == manifest.default_variant:
        difference = largest_difference(golden.scores, vectors @ vectors.T, "golden scores")
        if difference > golden.tolerance["scores"]:
            allowed = golden.tolerance["scores"]
            raise VerificationError(f"scores differ by up to {difference:.2g}, allowed {allowed:.2g}; {advice}")
        detail += f"; scores {difference:.2g} of {golden.tolerance['scores']:.2g}"
    return detail
