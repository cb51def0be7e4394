"""Real bundles of which one is larger or slower than the other by a known amount, for `experiments/gate_power/run.py`.

The vocabulary is learned from the documentation of the running Python, the weights are random: what a bundle weighs
and how long it takes does not depend on the values of its weights. Everything after them is the ordinary export.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pocketrank.export.bundle.assemble import DEFAULT, REFERENCE, Candidate, assemble_candidate, describe, finish_bundle
from pocketrank.export.bundle.facts import BundleFacts
from pocketrank.export.graph.schemes import FP32, make_plan
from pocketrank.export.graph.weights import (
    POSITIONS,
    PROJECTION,
    PROJECTION_BIAS,
    TABLE,
    TOKEN_TYPES,
    TransformerWeights,
    layer_shapes,
)
from pocketrank.pipeline.corpus.python_docs import read_pydocs
from pocketrank.pipeline.settings import CorpusSettings, VocabularySettings
from pocketrank.pipeline.vocabulary.stage import choose_alphabet
from pocketrank.pipeline.vocabulary.tokenizer_file import SPECIAL_TOKENS, WordCounter, wordpiece_tokenizer
from pocketrank.pipeline.vocabulary.wordpiece import learn_pieces
from pocketrank.runtime.files import write_bytes
from pocketrank.runtime.manifest import MANIFEST_NAME, TeacherEntry
from pocketrank.runtime.progress import NoProgress

MAX_LENGTH = 128
PLAN = make_plan("int8", "int7")
TEXTS = ("merge two sorted lists", "read a file line by line", "what is a context manager")


@dataclass(frozen=True)
class Shape:
    """What decides the bytes and the time of a bundle."""

    tokens: int = 6000  # of the vocabulary that are learned: these cut the texts
    spare: int = 0  # rows that no text uses: they are shipped and loaded, and cost a query nothing
    intermediate: int = 768
    hidden: int = 192
    layers: int = 2
    heads: int = 4

    @property
    def rows(self) -> int:
        """Rows of the token table."""
        return self.tokens + self.spare


def learn_vocabularies(sizes: list[int]) -> dict[int, list[str]]:
    """Return for each size the tokens of a vocabulary of that many rows, special tokens counted."""
    corpus, _ = read_pydocs(CorpusSettings(packages=()), NoProgress())
    settings = VocabularySettings()
    counter = WordCounter(settings.lowercase, strip_accents=True)
    words = counter.count(corpus.documents.values()) + counter.count(corpus.queries.values())
    words = {word: count for word, count in words.items() if len(word) <= 100}
    alphabet, _ = choose_alphabet(words, settings, counter)
    special = len(SPECIAL_TOKENS)
    learned = learn_pieces(words, alphabet, [size - special for size in sizes])
    return {size + special: tokens for size, tokens in learned.items()}


def random_weights(shape: Shape, seed: int = 1) -> TransformerWeights:
    """Return an encoder of this shape with random weights."""
    rng = np.random.default_rng(seed)

    def normal(*size: int) -> np.ndarray:
        return (rng.standard_normal(size, dtype=np.float32) * 0.05).astype(np.float32)

    def named(name: str, size: tuple[int, ...]) -> np.ndarray:
        return np.ones(size, np.float32) if name.endswith("LayerNorm.weight") else normal(*size)

    hidden = shape.hidden
    sizes: dict[str, tuple[int, ...]] = {
        TABLE: (shape.rows, hidden),
        POSITIONS: (MAX_LENGTH, hidden),
        TOKEN_TYPES: (1, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
        PROJECTION: (hidden, hidden),
        PROJECTION_BIAS: (hidden,),
    }
    for layer in range(shape.layers):
        for part, size in layer_shapes(hidden, shape.intermediate).items():
            sizes[f"encoder.layer.{layer}.{part}"] = size
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": MAX_LENGTH,
        "type_vocab_size": 1,
        "vocab_size": shape.rows,
    }
    return TransformerWeights(config, {name: named(name, size) for name, size in sizes.items()})


FAMILY = "gate-power"  # a baseline is a release of the same bundle


def make_bundle(folder: Path, name: str, shape: Shape, tokens: list[str]) -> Path:
    """Export a bundle of this shape into `folder`/`name`; one that is there already is left as it is."""
    bundle = folder / name
    if (bundle / MANIFEST_NAME).is_file():
        return bundle
    filled = [*tokens, *(f"[unused{number}]" for number in range(shape.rows - len(SPECIAL_TOKENS) - len(tokens)))]
    tokenizer = wordpiece_tokenizer(filled, lowercase=True, strip_accents=True)
    candidate = folder / f"{name}.candidate"
    assemble_candidate(candidate, Candidate(random_weights(shape), PLAN, tokenizer, MAX_LENGTH), TEXTS)
    facts = BundleFacts(
        name=FAMILY,
        seed=1,
        teacher=TeacherEntry("none: random weights", "0" * 64, shape.hidden),
        max_length=MAX_LENGTH,
        quantization={REFERENCE: describe(FP32), DEFAULT: describe(PLAN)},
        licences={"weights": "Apache-2.0"},
    )
    finish_bundle(candidate, bundle, facts, f'name = "{FAMILY}"\n'.encode())
    write_bytes(folder / f"{name}.shape.txt", f"{shape}\n".encode())
    return bundle
