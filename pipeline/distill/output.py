"""What stage `distill` leaves: the trained student, what it started from, and which queries it never saw."""

from typing import Any, ClassVar

from ...runtime.files import read_json
from ..stage import OutputPath, StageOutput


class DistillOutput(StageOutput):
    """The trained student."""

    stage: ClassVar[str] = "distill"

    student = OutputPath("student")  # folder of the student's shape and weights
    start_file = OutputPath("start.json")  # where the first weights came from, and what each start spells
    held_back_file = OutputPath("held_back.json")  # the judged training queries that were held back from training

    def start(self) -> dict[str, Any]:
        """Return where the first weights came from (`general`, `teacher` or `random`) and what each start spells."""
        return read_json(self.start_file)

    def held_back_queries(self) -> list[str]:
        """Return the texts of the judged training queries that the student never saw; choices may rest on them."""
        return read_json(self.held_back_file)["queries"]
