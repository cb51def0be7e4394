"""What a bundle's manifest, card and bill of materials say besides its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...runtime.manifest import Figure, Prompts, TeacherEntry


@dataclass(frozen=True)
class Source:
    """A model or a data set that the student learned from; what is empty is unknown."""

    name: str
    role: str  # in words: "teacher", "documents, queries and judgements", …
    licence: str = ""  # SPDX expression where there is one
    version: str = ""  # or revision
    sha256: str = ""


@dataclass(frozen=True)
class BundleFacts:
    """What the manifest, the card and the bill of materials say that the files themselves do not."""

    name: str
    seed: int
    teacher: TeacherEntry
    max_length: int
    quantization: Mapping[str, str]  # variant -> in words
    licences: Mapping[str, str]
    quality: Mapping[str, Figure] = field(default_factory=dict)
    parity: Mapping[str, Figure] = field(default_factory=dict)
    prompts: Prompts = field(default_factory=Prompts)
    bm25_weight: Mapping[str, float] = field(default_factory=dict)  # as in the manifest
    notes: Mapping[str, str] = field(default_factory=dict)  # variant -> its figures, for the card
    models: Sequence[Source] = ()  # what the student learned from; none: the teacher alone, as named above
    data: Sequence[Source] = ()
    packages: Mapping[str, str] = field(default_factory=dict)  # that made the bundle: distribution -> version
