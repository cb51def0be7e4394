"""From what a user names (a bundle, a folder, an ONNX file) to the files that are measured, and what a bundle is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ...runtime.errors import InputError, UnavailableError, VerificationError
from ...runtime.files import folder_sizes, read_json, sha256_file
from ...runtime.manifest import MANIFEST_NAME, TOKENIZER_NAME, listed_file, read_manifest
from ...runtime.progress import Progress
from ...runtime.text.tokenizer_file import check_growth, read_tokenizer
from ...runtime.verify import check_runtime, verify_bundle
from ..records.metrics import METRICS, Measurement
from ..records.report import ModelFacts, Report, read_report
from .session import ModelFiles

# An absurd length in a tokenizer's configuration means that nobody set one.
_LONGEST = 100_000


def find_model(path: Path, name: str = "") -> ModelFiles:
    """Return the files of a bundle, of a folder with an ONNX model in it, or of an ONNX file.

    The tokenizer is looked for beside the ONNX file, then one folder up. Raises `InputError` that says what is missing.
    """
    if path.is_dir() and (path / MANIFEST_NAME).is_file():
        return _from_manifest(path, name)
    if path.is_dir():
        candidates = ["onnx/model_quantized.onnx", "onnx/model.onnx", "model_quantized.onnx", "model.onnx"]
        onnx = next((path / name for name in candidates if (path / name).is_file()), None)
        if onnx is None:
            raise InputError(f"{path} has none of {', '.join(candidates)}; name a bundle or an ONNX file")
    elif path.is_file():
        onnx = path
    else:
        raise InputError(f"{path} does not exist; name a bundle or an ONNX file")
    beside = [folder / TOKENIZER_NAME for folder in onnx.parents[:2]]
    tokenizer = next((candidate for candidate in beside if candidate.is_file()), None)
    if tokenizer is None:
        raise InputError(f"{onnx} has no {TOKENIZER_NAME} beside it or one folder up; copy the model's own there")
    check_growth(tokenizer)
    return ModelFiles(name or _name_of(path), onnx, tokenizer, _max_length(tokenizer.parent))


def facts_of(model: ModelFiles, role: Literal["subject", "reference", "peer"]) -> ModelFacts:
    """Return names, bytes and hashes of the files of a model; raises `InputError` where one is missing."""
    for path in (model.onnx, model.tokenizer):
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path")
    return ModelFacts(
        name=model.name,
        role=role,
        model_bytes=sum(path.stat().st_size for path in _parts(model.onnx)),
        model_sha256=sha256_file(model.onnx),
        tokenizer_bytes=model.tokenizer.stat().st_size,
        tokenizer_sha256=sha256_file(model.tokenizer),
        max_length=model.max_length,
        output=model.pooled_output,
    )


def _parts(onnx: Path) -> list[Path]:
    """Return an ONNX file and, where it is there, the file beside it with the weights of more than 2 GB."""
    beside = (onnx.with_name(onnx.name + ending) for ending in (".data", "_data"))
    return [onnx, *(path for path in beside if path.is_file())]


def require_runtime(bundle: Path | None) -> None:
    """Refuse a bundle that is meant for other versions of onnxruntime than the one here; raises `UnavailableError`."""
    if bundle is None or not (bundle / MANIFEST_NAME).is_file():
        return
    try:
        check_runtime(read_manifest(bundle))
    except VerificationError as error:
        raise UnavailableError(f"{bundle} cannot be measured here: {error}") from None


def find_verified(path: Path, *, replay: bool = True) -> ModelFiles:
    """Return what `find_model` does; a bundle that `pocketrank verify` refuses is refused.

    Without `replay` its golden vectors may differ here, and so they may where the bundle is meant for other versions of
    onnxruntime: `require_runtime` speaks about that. Raises `VerificationError` that names what differs.
    """
    files = find_model(path)
    failed = [check for check in verify_bundle(path) if not check.passed] if files.bundle else []
    if not replay or any(check.name == "runtime" for check in failed):
        failed = [check for check in failed if check.name != "runtime" and not check.name.startswith("golden")]
    if failed:
        differs = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise VerificationError(f"{path} is not what its manifest says: {differs}")
    return files


def bundle_measurements(bundle: Path | None) -> list[Measurement]:
    """Return the bytes of a bundle's files, as they are on the disk; nothing for a path that is no bundle."""
    if bundle is None or not (bundle / MANIFEST_NAME).is_file():
        return []
    files = find_model(bundle)
    model, tokenizer = files.onnx.stat().st_size, files.tokenizer.stat().st_size
    folder = sum(folder_sizes(bundle).values())
    return [
        _counted("shipped_bytes", model + tokenizer, "default ONNX file + tokenizer.json, ONNX Runtime not counted"),
        _counted("model_bytes", model, "default ONNX file"),
        _counted("tokenizer_bytes", tokenizer, "tokenizer.json"),
        _counted("folder_bytes", folder, "all files of the bundle"),
    ]


def _counted(metric: str, value: float, method: str) -> Measurement:
    """Return a value that is exact by nature."""
    return Measurement(metric, METRICS[metric].unit, "counted", method, value=value, count=1, low=value, high=value)


def quality_measurements(bundle: Path | None, evaluation: Path | None = None) -> list[Measurement]:
    """Return quality and parity figures of the manifest; `evaluation.json` adds the intervals where it has them.

    Raises `InputError` for a figure that nobody can have measured, such as an nDCG above 1.
    """
    rows: dict[str, Measurement] = {}
    if bundle is not None and (bundle / MANIFEST_NAME).is_file():
        manifest = read_manifest(bundle)
        parity = {f"parity_{name.removeprefix('parity_')}": figure for name, figure in manifest.parity.items()}
        for name, figure in {**manifest.quality, **parity}.items():
            rows[name] = _quality_figure(bundle / MANIFEST_NAME, name, vars(figure), None)
    if evaluation is not None and evaluation.is_file():
        for name, entry in _flat(read_json(evaluation)).items():
            rows[name] = _quality_figure(evaluation, name, entry, rows.get(name))
    return list(rows.values())


def _from_manifest(bundle: Path, name: str) -> ModelFiles:
    manifest = read_manifest(bundle)
    variant = manifest.default_variant
    tokenizer = listed_file(bundle, manifest, TOKENIZER_NAME)
    read_tokenizer(tokenizer)  # another process opens it, which knows nothing of parts that hang
    return ModelFiles(
        name or manifest.name,
        listed_file(bundle, manifest, manifest.variants[variant].file),
        tokenizer,
        manifest.max_length,
        prompt=manifest.prompts.query,
        bundle=bundle,
        variant=variant,
    )


def _name_of(path: Path) -> str:
    """Return a name for people: the file's own, or its folder's where every file is called `model`."""
    stem = path.stem if path.is_file() else path.name
    generic = stem.startswith("model") or stem in ("onnx", "")
    if not generic:
        return stem
    parents = [parent.name for parent in path.resolve().parents if parent.name not in ("onnx", "")]
    return f"{parents[0]}/{stem}" if parents else stem


def _max_length(folder: Path) -> int:
    limits = []
    for file, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        if (folder / file).is_file():
            mapping = read_json(folder / file)
            value = mapping.get(key) if isinstance(mapping, dict) else None
            if isinstance(value, (int, float)) and 3 <= value < _LONGEST:
                limits.append(int(value))
    return min(limits, default=256)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return entries that carry a number, by their path of keys joined with underscores."""
    if not isinstance(value, dict):
        return {}
    if isinstance(value.get("value"), (int, float)) and not isinstance(value["value"], bool):
        return {prefix: value}
    entries: dict[str, Any] = {}
    for key, item in value.items():
        entries |= _flat(item, f"{prefix}_{key}" if prefix else str(key))
    return entries


def _quality_figure(path: Path, name: str, entry: Mapping[str, Any], known: Measurement | None) -> Measurement:
    method = str(entry.get("method") or (known.method if known else "evaluation of the shipped file"))
    unit = str(entry.get("unit") or (known.unit if known else "1"))
    try:
        return Measurement(
            name,
            unit,
            "counted" if unit == "B" else "measured",
            method,
            value=float(entry["value"]),
            count=int(entry.get("count", 1)),
            low=entry.get("low"),
            high=entry.get("high"),
            level=entry.get("level"),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: {error}") from None


def report_of(model: ModelFiles, named: Path | None, bundle: Path, progress: Progress) -> Report | None:
    """Return the report that was named, or the one beside the bundle; None when there is none about these files.

    A named report about other files is refused with `InputError`.
    """
    path = named or bundle.resolve().parent / "report.json"
    if not path.is_file() and named is None:
        return None
    report = read_report(path)
    facts = next(model for model in report.models if model.name == report.subject)
    same = facts.model_sha256 == sha256_file(model.onnx) and facts.tokenizer_sha256 == sha256_file(model.tokenizer)
    if same:
        progress.note(f"report: {path}")
        return report
    if named is not None:
        raise InputError(f"{path} is about other files than {bundle}; measure again with `pocketrank benchmark`")
    progress.note(f"{path} is about other files than {bundle}: measuring again")
    return None
