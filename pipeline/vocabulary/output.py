"""What stage `vocabulary` leaves: the student's tokenizer."""

from pathlib import Path
from typing import ClassVar

from ..stage import StageOutput


class VocabularyOutput(StageOutput):
    """The tokenizer made for the corpus."""

    stage: ClassVar[str] = "vocabulary"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer in the format of the `tokenizers` library."""
        return self.folder / "tokenizer.json"
