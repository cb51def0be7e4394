"""What the stages `cross_encoder` and `teacher` leave: score lists, vectors, and how vectors are reduced."""

from typing import Any, ClassVar

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import read_json
from ...runtime.projection import Projection, read_projection
from ..stage import OutputPath, StageOutput
from .score_lists import ScoreLists, read_lists
from .vectors.files import VectorReader, read_vectors
from .vectors.pca import Reduction, read_reduction

DUAL_TEACHER = "dual-teacher"


class CrossEncoderOutput(StageOutput):
    """Score lists of a cross-encoder and its dual-pooled form; empty without a cross-encoder in the recipe."""

    stage: ClassVar[str] = "cross_encoder"

    # Folder of the dual-pooled cross-encoder, a sentence-transformers model; only with `use = ["embeddings"]`.
    dual_teacher = OutputPath(DUAL_TEACHER)
    record_file = OutputPath("cross_encoder.json")  # what the cross-encoder is and what was made of it

    def record(self) -> dict[str, Any]:
        """Read the record."""
        return read_json(self.record_file)

    def score_lists(self, texts: int) -> ScoreLists | None:
        """Return the score lists over `texts` training texts, `None` when there are none."""
        return read_lists(self.folder, texts)


class TeacherOutput(StageOutput):
    """Vectors of documents, queries and training texts in the teacher's dimension, and their reduction."""

    stage: ClassVar[str] = "teacher"

    documents_file = OutputPath("documents.npy")  # vectors of the documents, float32 [documents, teacher dimension]
    # Vectors of all queries of the corpus, float32 [queries, teacher dimension].
    queries_file = OutputPath("queries.npy")
    # Vectors of the training texts, float32 [training texts, teacher dimension].
    training_file = OutputPath("training.npy")
    projection_file = OutputPath("projection.safetensors")  # how a teacher vector is brought into the student's space
    record_file = OutputPath("teacher.json")  # what the teacher is and how it was used

    def record(self) -> dict[str, Any]:
        """Read the record."""
        return read_json(self.record_file)

    def documents(self, count: int) -> np.ndarray:
        """Return the vectors of the documents, mapped from disk; raise `InputError` when they are not `count`."""
        return read_vectors(self.documents_file, count)

    def queries(self, count: int) -> np.ndarray:
        """Return the vectors of the queries, mapped from disk; raise `InputError` when they are not `count`."""
        return read_vectors(self.queries_file, count)

    def projection(self) -> Projection:
        """Return the projection into the student's space, as the device applies it."""
        return read_projection(self.projection_file)

    def reduction(self) -> Reduction:
        """Return the same projection in the precision that training uses."""
        return read_reduction(self.projection_file)

    def training_targets(self, count: int) -> np.ndarray:
        """Return the reduced vectors of all `count` training texts, float32 [count, dimension]."""
        reduction, reader = self.reduction(), VectorReader(self.training_file)
        if reader.rows != count:
            raise InputError(
                f"{reader.path} has {reader.rows} vectors for {count} training texts; run stage teacher again"
            )
        return np.concatenate([reduction.apply(block) for block in reader.blocks()]).astype(np.float32)
