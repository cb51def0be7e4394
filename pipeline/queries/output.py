"""What stage `queries` leaves: the texts that the student is trained on."""

from typing import ClassVar

from ..stage import OutputPath, StageOutput
from .training_texts import TrainingText, read_training_texts


class QueriesOutput(StageOutput):
    """Training texts, documents first; elsewhere a text is named by its row."""

    stage: ClassVar[str] = "queries"

    # One training text a line: `text`, `role`, `kind` and, where it differs, `target`.
    training_file = OutputPath("training.jsonl")

    def training_texts(self) -> list[TrainingText]:
        """Read all of them."""
        return read_training_texts(self.training_file)
