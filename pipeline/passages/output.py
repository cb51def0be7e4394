"""What stage `passages` leaves: training texts cut from long documents, with the teacher's vectors of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_json
from ...runtime.schema import from_mapping
from ..stage import OutputPath, StageOutput
from ..teacher.vectors.files import VectorReader
from ..teacher.vectors.pca import Reduction


@dataclass(frozen=True)
class PassagesRecord:
    """How much of the documents is read, in tokens of the student."""

    documents: int
    long_documents: int  # longer than teacher or student reads
    passages: int  # windows of long documents behind the first one, which the document itself stands for
    drawn: int  # of these, trained on
    tokens: int  # of all documents
    trained_tokens: int  # in documents and passages that are trained on
    indexed_tokens: int  # in what the student reads of each document, as an index of whole documents holds it


class PassagesOutput(StageOutput):
    """Passages, further training texts behind those of stage `queries`."""

    stage: ClassVar[str] = "passages"

    texts_file = OutputPath("passages.jsonl")  # one training text a line, as in `training.jsonl`
    vectors_file = OutputPath("passages.npy")  # float32 [passages, teacher dimension]
    record_file = OutputPath("report.json")  # how much of the documents is read (`PassagesRecord`)

    def record(self) -> PassagesRecord:
        """Read the record."""
        return from_mapping(PassagesRecord, read_json(self.record_file), str(self.record_file))

    def targets(self, reduction: Reduction, count: int) -> np.ndarray:
        """Return the reduced vectors of all `count` passages, float32 [count, dimension]."""
        reader = VectorReader(self.vectors_file)
        if reader.rows != count:
            raise InputError(f"{reader.path} has {reader.rows} vectors for {count} passages; run stage passages again")
        return np.concatenate([reduction.apply(block) for block in reader.blocks()]).astype(np.float32)
