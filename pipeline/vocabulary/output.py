"""What stage `vocabulary` leaves: the student's tokenizer."""

from typing import ClassVar

from ..stage import OutputPath, StageOutput


class VocabularyOutput(StageOutput):
    """The tokenizer made for the corpus."""

    stage: ClassVar[str] = "vocabulary"

    tokenizer_file = OutputPath("tokenizer.json")  # the tokenizer in the format of the `tokenizers` library
