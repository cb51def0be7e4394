"""The sections of a recipe. Every key has a default, so a recipe of five lines works.

One class is one section, and the stage of that name is its only reader. Each key is declared with its meaning, unit
and range, from which `make reference` writes `docs/reference/recipe.md`.
"""

from .corpus import CorpusSettings
from .cross_encoder import CrossEncoderSettings
from .distill import DistillSettings
from .evaluate import EvaluateSettings, Model2vecSettings
from .export import ExportSettings, QuantizeSettings
from .queries import QueriesSettings
from .recipe import Recipe
from .release import BenchmarkSettings, GateSettings
from .student import StudentSettings
from .teacher import EnsembleMember, TeacherSettings, VectorsSettings
from .vocabulary import VocabularySettings

__all__ = [
    "BenchmarkSettings",
    "CorpusSettings",
    "CrossEncoderSettings",
    "DistillSettings",
    "EnsembleMember",
    "EvaluateSettings",
    "ExportSettings",
    "GateSettings",
    "Model2vecSettings",
    "QuantizeSettings",
    "QueriesSettings",
    "Recipe",
    "StudentSettings",
    "TeacherSettings",
    "VectorsSettings",
    "VocabularySettings",
]
