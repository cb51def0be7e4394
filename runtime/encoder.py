"""Text in, unit vectors out: a bundle opened with onnxruntime and tokenizers.

By default the graph runs for one text at a time: on one thread batches of 512 tokens gained -25 to +25 % of speed, and
larger ones lost it again. Where more threads are used, `batch_tokens` fills batches of texts sorted by length. A vector
depends on its text alone either way, but in files of other exporters and of earlier versions, whose quantized
activations take their range from the whole batch.

What a text may be: any string. Lone surrogates become U+FFFD, as a decoder would have made of them. Only the first
`max_length * 128` characters are read, so that a hostile text costs neither seconds nor gigabytes; of their tokens
the first `max_length` are kept, [CLS] and [SEP] included. The empty text is [CLS] [SEP] and has a vector like any
other.
"""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .documents.document import valid_name
from .errors import InputError, VerificationError
from .files import is_object, read_json, safe_join, sha256_file
from .manifest import (
    LONGEST_TEXT,
    MANIFEST_NAME,
    MOST_BYTES,
    TOKENIZER_NAME,
    Manifest,
    Prompts,
    listed_file,
    read_manifest,
)
from .progress import NoProgress, Progress
from .text.tokenizer_file import TextTokenizer

WINDOW_TEXTS = 1024  # tokenized and sorted at a time; bounds memory whatever the number of texts
WINDOW_CHARACTERS = 1 << 21
EMBEDDING_OUTPUT = "sentence_embedding"


class Encoder:
    """A bundle's model with its tokenizer: text in, unit vectors out. Make one with `Encoder.open`.

    >>> encoder = Encoder.open("bundle")
    >>> vectors = encoder.encode_documents(["merge two sorted lists", "close the file"])
    >>> vectors.shape, vectors.dtype.name
    ((2, 24), 'float32')
    >>> int((vectors @ encoder.encode_query("merge sorted lists")).argmax())
    0
    """

    tokenizer_kind: type[TextTokenizer] = TextTokenizer

    def __init__(
        self,
        bundle: Path,
        variant: str,
        model_path: Path,
        tokenizer: TextTokenizer,
        prompts: Prompts,
        threads: int,
        space: str = "",
    ) -> None:
        """Open tokenizer and graph; `Encoder.open` is the door."""
        self.bundle, self.variant, self.model_path = bundle, variant, model_path
        self.space = space  # as `Manifest.space`; empty where no manifest says
        self.tokenizer, self.max_length, self.prompts = tokenizer, tokenizer.max_length, prompts
        self.dimension = self._open_graph(threads)

    @classmethod
    def open(cls, bundle: str | Path, variant: str = "", threads: int = 1) -> "Encoder":
        """Open the folder `bundle`.

        `variant` names an ONNX file of the bundle; the default is the manifest's, else `model_quantized`. A folder
        without manifest works too when it has `onnx/<variant>.onnx` (or `.ort`), `tokenizer.json` and `config.json`.
        With a manifest, model and tokenizer are hashed before anything opens them: 2 ms for a bundle of 2.5 MB (the
        other files are for `verify_bundle`). Raises `InputError` for a folder that is no bundle and `VerificationError`
        for files that are not what the manifest says or do not open.
        """
        bundle = Path(bundle)
        if (bundle / MANIFEST_NAME).exists():
            manifest = read_manifest(bundle)
            name = variant or manifest.default_variant
            model_path = listed_file(bundle, manifest, _variant_file(manifest, name, bundle))
            tokenizer = cls.tokenizer_kind(listed_file(bundle, manifest, TOKENIZER_NAME), manifest.max_length)
            return cls(bundle, name, model_path, tokenizer, manifest.prompts, threads, manifest.space)
        name = variant or "model_quantized"
        model_path = safe_join(bundle, f"onnx/{name}.onnx")
        if not model_path.is_file() and model_path.with_suffix(".ort").is_file():
            model_path = safe_join(bundle, f"onnx/{name}.ort")
        tokenizer = cls.tokenizer_kind(safe_join(bundle, TOKENIZER_NAME), _bare_max_length(bundle, model_path))
        return cls(bundle, name, model_path, tokenizer, Prompts(), threads)

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the ONNX file itself, computed at each call."""
        return sha256_file(self.model_path)

    @property
    def tokenizer_sha256(self) -> str:
        """SHA-256 of `tokenizer.json` itself, computed at each call."""
        return sha256_file(self.tokenizer.path)

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of `text`, at most `max_length`, [CLS] and [SEP] included."""
        return self.tokenizer.ids([text])[0]

    def encode_query(self, text: str) -> np.ndarray:
        """Return the vector [d] of one query, the bundle's query prompt in front of it."""
        return self.encode_queries([text])[0]

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the vectors [n, d] of queries, the bundle's query prompt in front of each."""
        return self.encode(_prompted(texts, self.prompts.query), progress=progress)

    def encode_documents(
        self, texts: Sequence[str], batch_tokens: int = 0, progress: Progress | None = None
    ) -> np.ndarray:
        """Return the vectors [n, d] of documents, the bundle's document prompt in front of each."""
        return self.encode(_prompted(texts, self.prompts.document), batch_tokens, progress)

    def encode(self, texts: Sequence[str], batch_tokens: int = 0, progress: Progress | None = None) -> np.ndarray:
        """Return float32 unit vectors [n, d] of `texts`, in their order, without any prompt.

        A batch holds at most `batch_tokens` tokens, padding included; 0 means one text at a time (why: see the head of
        the module). Memory beyond the result does not grow with the number of texts.
        """
        if isinstance(texts, str):
            raise InputError("one string was given where a list of texts is needed; put it in a list")
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        done = 0
        with (progress or NoProgress()).task("encode", len(texts), "texts") as task:
            for block in self.encode_stream(texts, batch_tokens):
                vectors[done : done + len(block)] = block
                done += len(block)
                task.advance(len(block))
        return vectors

    def encode_stream(self, texts: Iterable[str], batch_tokens: int = 0) -> Iterator[np.ndarray]:
        """Yield the vectors of `texts` in order, a block [m, d] for every window of them."""
        for window in _windows(texts):
            ids = self.tokenizer.ids(window)
            vectors = np.zeros((len(window), self.dimension), dtype=np.float32)
            for rows in length_batches([len(row) for row in ids], batch_tokens):
                vectors[rows] = self._run([ids[row] for row in rows])
            yield vectors

    def _open_graph(self, threads: int) -> int:
        """Open the file at `model_path` and return the dimension of its vectors."""
        self._session = open_session(self.model_path, threads)
        return _dimension(self._session, self.model_path)

    def _run(self, ids: list[list[int]]) -> np.ndarray:
        length = max(len(row) for row in ids)
        input_ids = np.zeros((len(ids), length), dtype=np.int64)  # 0 is [PAD]; the mask hides it whatever it is
        mask = np.zeros((len(ids), length), dtype=np.int64)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        try:
            (vectors,) = self._session.run([EMBEDDING_OUTPUT], {"input_ids": input_ids, "attention_mask": mask})
        except onnxruntime_errors() as error:
            raise VerificationError(
                f"{self.model_path} failed in onnxruntime: {_first_line(error)}; run `pocketrank verify` on the bundle"
            ) from None
        if vectors.shape != (len(ids), self.dimension) or not np.isfinite(vectors).all():
            raise VerificationError(
                f"{self.model_path} gave misshapen or infinite vectors; run `pocketrank verify` on the bundle"
            )
        return vectors


def open_session(path: Path, threads: int = 1) -> Any:
    """Open an ONNX (or .ort) file in onnxruntime; raise `VerificationError` in one line when it does not open."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no types
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a bundle that has it, or another variant")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if path.suffix == ".ort":  # optimised when it was made, for runtimes that cannot do it themselves
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors reach the caller as exceptions; nothing is written past the command line
    try:
        name = str(path)
        model = name if valid_name(name) == name else path.read_bytes()  # onnxruntime takes names in UTF-8 only
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except onnxruntime_errors() as error:
        raise VerificationError(
            f"{path} does not open in onnxruntime {onnxruntime.__version__}: {_first_line(error)}; "
            "run `pocketrank verify` on the bundle, fetch it again or update onnxruntime"
        ) from None


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of onnxruntime, which have no common base of their own."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    members = [getattr(state, name) for name in dir(state)]
    own = [item for item in members if isinstance(item, type) and issubclass(item, Exception)]
    return (*own, RuntimeError, ValueError)  # the binding itself raises the last two


def _variant_file(manifest: Manifest, variant: str, bundle: Path) -> str:
    if variant not in manifest.variants:
        raise InputError(f"{bundle} has no variant {variant!r}; choose one of {', '.join(sorted(manifest.variants))}")
    return manifest.variants[variant].file


def _bare_max_length(bundle: Path, model_path: Path) -> int:
    if not bundle.is_dir():
        raise InputError(f"{bundle} is no folder; name the bundle that `pocketrank run` made")
    for path in (model_path, bundle / TOKENIZER_NAME, bundle / "config.json"):
        if not path.is_file():
            raise InputError(f"{bundle} is no bundle: {path.relative_to(bundle)} is missing; name a bundle's folder")
    limits: list[Any] = []
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        content = read_json(bundle / name, MOST_BYTES) if (bundle / name).is_file() else None
        limits.append(content.get(key) if is_object(content) else None)
    known = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 3 <= limit <= LONGEST_TEXT]
    if not known:
        raise InputError(f"{bundle / 'config.json'} has no max_position_embeddings; add it")
    return min(known)


def _dimension(session: Any, path: Path) -> int:
    inputs = {value.name for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    if inputs != {"input_ids", "attention_mask"} or EMBEDDING_OUTPUT not in outputs:
        raise InputError(
            f"{path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
            f"input_ids, attention_mask and {EMBEDDING_OUTPUT} are needed, export it with pocketrank"
        )
    shape = outputs[EMBEDDING_OUTPUT]
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(f"{path}: {EMBEDDING_OUTPUT} has the shape {shape}, not [batch, a number]; export it again")
    return shape[1]


def _prompted(texts: Sequence[str], prompt: str) -> Sequence[str]:
    if not prompt or isinstance(texts, str):
        return texts
    return [prompt + text for text in texts]


def _windows(texts: Iterable[str]) -> Iterator[list[str]]:
    window: list[str] = []
    characters = 0
    for text in texts:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise InputError(f"{type(text).__name__} was given where a text is needed; give strings")
        window.append(text)
        characters += len(text)
        if len(window) == WINDOW_TEXTS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def length_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield the rows of each batch, shortest texts first; a text without any token is in none of them.

    A batch holds at most `batch_tokens` tokens with its padding, and at least one text.
    """
    order = sorted((row for row in range(len(lengths)) if lengths[row]), key=lambda row: (lengths[row], row))
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) + 1) * lengths[row] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
