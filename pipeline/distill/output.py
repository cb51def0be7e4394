"""What stage `distill` leaves: the trained student, and which queries it never saw."""

from typing import ClassVar

from ...runtime.files import read_json
from ..stage import OutputPath, StageOutput


class DistillOutput(StageOutput):
    """The trained student."""

    stage: ClassVar[str] = "distill"

    student = OutputPath("student")  # folder of the student's shape and weights
    held_back_file = OutputPath("held_back.json")  # the judged training queries that were held back from training

    def held_back_queries(self) -> list[str]:
        """Return the texts of the judged training queries that the student never saw; choices may rest on them."""
        return read_json(self.held_back_file)["queries"]
