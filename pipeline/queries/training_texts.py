"""A training text, and the file that keeps them."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.documents.json_files import read_json_lines
from ...runtime.errors import InputError


@dataclass(frozen=True)
class TrainingText:
    """One text to train on: `role` is `query` or `document`, `kind` how it was made.

    `target` is the text whose teacher vector the student is to give, where that is not the text's own.
    """

    text: str
    role: str
    kind: str
    target: str = ""

    def record(self) -> dict[str, str]:
        """Return the line of `training.jsonl`; the target is left out where there is none."""
        line = {"text": self.text, "role": self.role, "kind": self.kind}
        return line | {"target": self.target} if self.target else line


def read_training_texts(path: Path) -> list[TrainingText]:
    """Read `training.jsonl`; raise `InputError` for a line without text, role and kind."""
    texts = []
    for number, record in read_json_lines(path):
        if set(record) - {"target"} != {"text", "role", "kind"} or not all(
            isinstance(value, str) for value in record.values()
        ):
            raise InputError(f"{path}, line {number}: text, role and kind are needed; run the stage 'queries' again")
        texts.append(TrainingText(**record))
    return texts
