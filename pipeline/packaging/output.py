"""What the stages `export`, `index`, `evaluate` and `bundle` leave.

That of `evaluate` stands here because a bundle carries its figures, and evaluation builds on what is packaged.
"""

from pathlib import Path
from typing import Any, ClassVar

from ...runtime.files import read_json
from ..stage import StageOutput


class ExportOutput(StageOutput):
    """The candidate of the bundle, the student for PyTorch, the teacher's graph, and comparisons of all graphs."""

    stage: ClassVar[str] = "export"

    @property
    def bundle(self) -> Path:
        """The candidate: all files of the bundle but manifest, recipe and model card."""
        return self.folder / "bundle"

    @property
    def student(self) -> Path:
        """The student as a sentence-transformers folder."""
        return self.folder / "student"

    @property
    def teacher(self) -> Path:
        """The teacher as `model.onnx` and `tokenizer.json`, for the benchmark."""
        return self.folder / "teacher"

    @property
    def plan_file(self) -> Path:
        """How the default file is quantized, in words."""
        return self.folder / "plan.json"

    @property
    def parity_file(self) -> Path:
        """Comparisons of each graph with its reference."""
        return self.folder / "parity.json"

    @property
    def variants_file(self) -> Path:
        """Bytes, similarity and latency of each variant."""
        return self.folder / "variants.json"

    def quantization(self) -> str:
        """Return how the default file is quantized, in words."""
        return read_json(self.plan_file)["description"]

    def parity(self) -> list[dict[str, Any]]:
        """Return the comparisons."""
        return read_json(self.parity_file)


class IndexOutput(StageOutput):
    """The corpus, searchable with the default file."""

    stage: ClassVar[str] = "index"

    @property
    def index(self) -> Path:
        """Folder of the index, as `DocumentIndex.open` takes it."""
        return self.folder / "index"


class EvaluateOutput(StageOutput):
    """Quality of the default file."""

    stage: ClassVar[str] = "evaluate"

    @property
    def evaluation_file(self) -> Path:
        """Metrics with intervals by system (`evaluate.record.Evaluation`)."""
        return self.folder / "evaluation.json"

    @property
    def per_query_file(self) -> Path:
        """nDCG@10 of every query by system, for paired comparisons."""
        return self.folder / "per_query.json"


class BundleOutput(StageOutput):
    """What is shipped."""

    stage: ClassVar[str] = "bundle"

    @property
    def bundle(self) -> Path:
        """Folder of the bundle."""
        return self.folder / "bundle"

    @property
    def variants_file(self) -> Path:
        """Bytes, similarity, latency and quality of each variant."""
        return self.folder / "variants.json"
