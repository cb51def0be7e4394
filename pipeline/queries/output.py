"""What stage `queries` leaves: the texts that the student is trained on."""

from pathlib import Path
from typing import ClassVar

from ..stage import StageOutput
from .training_texts import TrainingText, read_training_texts


class QueriesOutput(StageOutput):
    """Training texts, documents first; elsewhere a text is named by its row."""

    stage: ClassVar[str] = "queries"

    @property
    def training_file(self) -> Path:
        """One training text a line: `text`, `role`, `kind` and, where it differs, `target`."""
        return self.folder / "training.jsonl"

    def training_texts(self) -> list[TrainingText]:
        """Read all of them."""
        return read_training_texts(self.training_file)
