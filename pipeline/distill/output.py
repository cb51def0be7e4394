"""What stage `distill` leaves: the trained student, and which queries it never saw."""

from pathlib import Path
from typing import ClassVar

from ...runtime.files import read_json
from ..stage import StageOutput


class DistillOutput(StageOutput):
    """The trained student."""

    stage: ClassVar[str] = "distill"

    @property
    def student(self) -> Path:
        """Folder of the student's shape and weights."""
        return self.folder / "student"

    @property
    def held_back_file(self) -> Path:
        """The judged training queries that were held back from training."""
        return self.folder / "held_back.json"

    def held_back_queries(self) -> list[str]:
        """Return the texts of the judged training queries that the student never saw; choices may rest on them."""
        return read_json(self.held_back_file)["queries"]
