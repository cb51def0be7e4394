"""What the stages `export`, `index`, `evaluate` and `bundle` leave.

That of `evaluate` stands here because a bundle carries its figures, and evaluation builds on what is packaged.
"""

from typing import Any, ClassVar

from ...runtime.files import read_json
from ..stage import OutputPath, StageOutput


class ExportOutput(StageOutput):
    """The candidate of the bundle, the student for PyTorch, and comparisons of all graphs."""

    stage: ClassVar[str] = "export"

    bundle = OutputPath("bundle")  # the candidate: all files of the bundle but manifest, recipe and model card
    student = OutputPath("student")  # the student as a sentence-transformers folder
    plan_file = OutputPath("plan.json")  # how the default file is quantized, in words
    parity_file = OutputPath("parity.json")  # comparisons of each graph with its reference
    variants_file = OutputPath("variants.json")  # bytes, similarity and latency of each variant

    def quantization(self) -> str:
        """Return how the default file is quantized, in words."""
        return read_json(self.plan_file)["description"]

    def parity(self) -> list[dict[str, Any]]:
        """Return the comparisons."""
        return read_json(self.parity_file)


class IndexOutput(StageOutput):
    """The corpus, searchable with the default file."""

    stage: ClassVar[str] = "index"

    index = OutputPath("index")  # folder of the index, as `DocumentIndex.open` takes it


class EvaluateOutput(StageOutput):
    """Quality of the default file."""

    stage: ClassVar[str] = "evaluate"

    evaluation_file = OutputPath("evaluation.json")  # metrics with intervals by system (`evaluate.record.Evaluation`)
    per_query_file = OutputPath("per_query.json")  # nDCG@10 of every query by system, for paired comparisons


class BundleOutput(StageOutput):
    """What is shipped."""

    stage: ClassVar[str] = "bundle"

    bundle = OutputPath("bundle")  # folder of the bundle
    variants_file = OutputPath("variants.json")  # bytes, similarity, latency and quality of each variant
