"""What a bundle's manifest says besides its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...runtime.manifest import Figure, Prompts, TeacherEntry


@dataclass(frozen=True)
class BundleFacts:
    """What the manifest and the card say that the files themselves do not."""

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
