"""A recipe: its own keys and its sections."""

from dataclasses import dataclass, field

from ...runtime.schema import describe, key
from .corpus import CorpusSettings
from .cross_encoder import CrossEncoderSettings
from .distill import DistillSettings
from .evaluate import EvaluateSettings
from .export import ExportSettings, QuantizeSettings
from .queries import QueriesSettings
from .release import BenchmarkSettings, GateSettings
from .student import StudentSettings
from .teacher import TeacherSettings
from .vocabulary import VocabularySettings


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
