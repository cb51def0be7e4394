"""`[corpus]`: where documents, queries and judgements come from."""

from dataclasses import dataclass
from typing import Literal

from ...runtime.schema import key


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
