"""The same teacher as static word vectors: model2vec (MinishLab, 2024), at several sizes, with its own options.

model2vec sends every token of a vocabulary through the teacher once, reduces the vectors by PCA and weighs them by
rank; a text is the mean of its tokens. It is distilled once for each vocabulary, to the largest dimension; smaller
ones are the first components of the same PCA, which is what it would compute for them.
"""

import contextlib
import io
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.errors import UnavailableError
from ...runtime.files import atomic_folder
from ..settings import Model2vecSettings

MODEL_FILES = ("model.safetensors", "tokenizer.json")  # what is shipped of it
MIN_WORD_COUNT, MAX_WORDS = 5, 10_000  # words of the corpus that are added to the teacher's vocabulary

Vocabulary = Literal["teacher", "corpus", "pruned"]
_VOCABULARIES = {
    "teacher": "the teacher's vocabulary",
    "corpus": "the teacher's vocabulary and the words of the corpus",
    "pruned": "tokens that the corpus uses",
}


@dataclass(frozen=True)
class Variant:
    """One way to ship it; `clusters` is model2vec's vocabulary quantization, 0 without."""

    vocabulary: Vocabulary
    dimension: int
    storage: Literal["float32", "float16", "int8"]
    clusters: int = 0

    @property
    def name(self) -> str:
        """Name in reports, such as `model2vec_pruned_128_int8`."""
        vocabulary = "" if self.vocabulary == "teacher" else f"_{self.vocabulary}"
        clusters = f"_c{self.clusters}" if self.clusters else ""
        return f"model2vec{vocabulary}_{self.dimension}_{self.storage}{clusters}"

    @property
    def method(self) -> str:
        """What it is, for people."""
        clusters = f", {self.clusters} clusters" if self.clusters else ""
        return f"model2vec, {self.dimension} dimensions in {self.storage}{clusters}, {_VOCABULARIES[self.vocabulary]}"


def variants(settings: Model2vecSettings) -> list[Variant]:
    """Return every combination that the recipe asks for; clusters only with the teacher's vocabulary in int8."""
    combinations = [
        Variant(vocabulary, dimension, storage)
        for vocabulary in settings.vocabularies
        for dimension in settings.dimensions
        for storage in settings.storage
    ]
    largest = max(settings.dimensions)
    return combinations + [Variant("teacher", largest, "int8", clusters) for clusters in settings.clusters]


def distil(teacher: Path, vocabulary: Vocabulary, documents: Sequence[str], dimension: int, folder: Path) -> None:
    """Distil the model of the folder `teacher` to `dimension` in float32 and save it in `folder`.

    Raises `UnavailableError` when model2vec or what it distils with is not installed.
    """
    try:
        from model2vec.distill import distill_from_model
    except ImportError as error:
        raise UnavailableError(
            f"model2vec cannot distil here ({error}); pip install model2vec skeletoken, or leave model2vec out of "
            "evaluate.baselines"
        ) from None
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(str(teacher), local_files_only=True)
    model = AutoModel.from_pretrained(str(teacher), local_files_only=True, use_safetensors=True)
    options: dict[str, Any] = {"pca_dims": dimension, "quantize_to": "float32", "device": "cpu"}
    if vocabulary == "corpus":
        options["vocabulary"] = frequent_words(documents)
    if vocabulary == "pruned":
        options["token_remove_pattern"] = _unused_tokens(tokenizer, documents)
    with _quiet():
        distilled = distill_from_model(model, tokenizer, **options)
        with atomic_folder(folder) as partial:
            distilled.save_pretrained(partial)


def frequent_words(documents: Sequence[str]) -> list[str]:
    """Return the words that the documents use at least five times, the most frequent first, at most 10,000."""
    counts = Counter(word for document in documents for word in re.findall(r"\b[^\W\d_]\w+\b", document.lower()))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in ordered if count >= MIN_WORD_COUNT][:MAX_WORDS]


def shipped_model(folder: Path, variant: Variant) -> tuple[int, Any]:
    """Return the bytes that `variant` of the model in `folder` is shipped in, and its encoder, read from them."""
    from model2vec import StaticModel
    from model2vec.model import quantize_model

    model = StaticModel.from_pretrained(folder)
    with _quiet():
        # One step after the other: model2vec takes the scale of int8 from all dimensions that it is given.
        model = quantize_model(model, dimensionality=variant.dimension)
        if variant.clusters:
            model = quantize_model(model, vocabulary_quantization=variant.clusters)
        model = quantize_model(model, quantize_to=variant.storage)
        with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
            model.save_pretrained(name)
            return sum((Path(name) / file).stat().st_size for file in MODEL_FILES), StaticModel.from_pretrained(name)


def encode(model: Any, texts: Sequence[str]) -> np.ndarray:
    """Return float32 unit vectors [texts, d]; a text without a known token gets zeros."""
    return np.asarray(model.encode(list(texts), use_multiprocessing=False), dtype=np.float32)


def _unused_tokens(tokenizer: Any, documents: Sequence[str]) -> str:
    """Return a pattern of the tokens that no document contains; single characters and special tokens are kept."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    used: set[int] = set()
    for start in range(0, len(documents), 1024):
        for encoding in backend.encode_batch_fast(list(documents[start : start + 1024])):
            used.update(encoding.ids)
    special = set(tokenizer.all_special_tokens)
    gone = [
        token
        for token, number in sorted(tokenizer.get_vocab().items())
        if number not in used and token not in special and len(token.removeprefix("##")) > 1
    ]
    return rf"(?:{'|'.join(map(re.escape, gone))})\Z"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep model2vec's progress bars and its remarks on single words from the terminal."""
    logger = logging.getLogger("model2vec")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
