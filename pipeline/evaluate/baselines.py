"""What could be shipped instead of a bundle: the teacher itself in int8, and its tokens as static vectors.

Baselines do not depend on the student, and cost far more than everything else that is evaluated. So what is kept of a
baseline is small (a figure a query) and stands in a folder of its own, named by all that it depends on; it is measured
once for a teacher, a retrieval set and a split.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ...export.graph.schemes import make_plan
from ...runtime.files import is_object, json_bytes, read_json, sha256_bytes, write_json
from ...runtime.manifest import TOKENIZER_NAME
from ...runtime.progress import Progress
from ...runtime.schema import from_mapping, to_mapping
from ..code_version import library_version
from ..retrieval.metrics import QualityFigures
from ..settings import Model2vecSettings, TeacherSettings
from ..teacher.load import load_teacher, torch_weights
from ..teacher.source import TeacherFiles, resolve_teacher
from .model2vec import Variant, distil, encode, shipped_model, variants
from .systems import JudgedSplit, Vectors, vector_search

VERSION = 1  # of how baselines are made; counts in the names of what is kept
Kind = Literal["teacher-int8", "model2vec"]
TEACHER_INT8 = "teacher_int8"
_LIBRARIES = ("model2vec", "numpy", "onnxruntime", "tokenizers")


@dataclass(frozen=True)
class BaselineFigures:
    """One baseline on one split: shipped bytes and a figure a query, in the order of `queries`."""

    name: str
    method: str
    bytes: int  # model file and tokenizer
    queries: tuple[str, ...]
    ndcg10: tuple[float, ...]
    mrr10: tuple[float, ...]
    recall100: tuple[float, ...]

    def figures(self) -> QualityFigures:
        """Return the figures as those of any other system."""
        return QualityFigures(self.queries, *(np.array(values) for values in (self.ndcg10, self.mrr10, self.recall100)))


@dataclass(frozen=True)
class BaselineTask:
    """What baselines are measured on; their figures are kept in the folder `cache`, where there is one."""

    teacher: TeacherSettings
    judged: JudgedSplit
    cache: Path | None
    progress: Progress

    @cached_property
    def files(self) -> TeacherFiles:
        """The files of the teacher."""
        return resolve_teacher(self.teacher)

    @property
    def folder(self) -> Path:
        """The folder `cache`, which `measure_baselines` makes where none was given."""
        assert self.cache is not None
        return self.cache

    def key(self, *parts: object) -> str:
        """Return a hash of the teacher, the texts and judgements, the versions, and `parts`."""
        judged = self.judged
        content = [judged.retrieval_set.documents, judged.queries, judged.retrieval_set.judgements(judged.split)]
        reading = [self.teacher.query_prompt, self.teacher.document_prompt, self.teacher.max_length]
        versions = [library_version(library) for library in _LIBRARIES]
        whole = [VERSION, self.files.fingerprint, reading, versions, content, parts]
        return sha256_bytes(json.dumps(whole).encode())[:32]

    def measure(self, name: str, method: str, size: int, vectors: Vectors) -> BaselineFigures:
        """Return the figures of a baseline by its vectors."""
        figures = self.judged.measure(vector_search(vectors))
        columns = [figures.ndcg10, figures.mrr10, figures.recall100]
        rounded = (tuple(round(float(value), 6) for value in column) for column in columns)
        return BaselineFigures(name, method, size, figures.query_ids, *rounded)


def measure_baselines(kinds: Sequence[str], settings: Model2vecSettings, task: BaselineTask) -> list[BaselineFigures]:
    """Return the figures of the baselines of `kinds`, from the cache where they are there.

    Raises `InputError` for a teacher that cannot be quantized and `UnavailableError` when a library is missing.
    """
    if not {"teacher-int8", "model2vec"} & set(kinds):
        return []
    if task.cache is None:
        with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
            return measure_baselines(kinds, settings, dataclasses.replace(task, cache=Path(folder)))
    figures = [_cached(task, TEACHER_INT8, (), lambda: _teacher_int8(task))] if "teacher-int8" in kinds else []
    if "model2vec" in kinds:
        figures += list(_model2vec(task, settings))
    return figures


def _cached(
    task: BaselineTask, name: str, parts: tuple[object, ...], make: Callable[[], BaselineFigures]
) -> BaselineFigures:
    path = task.folder / f"{name}-{task.key(name, *parts)}.json"
    if path.is_file():
        kept = read_json(path)
        if is_object(kept) and kept.get("sha256") == sha256_bytes(json_bytes(kept.get("figures"))):
            return from_mapping(BaselineFigures, kept["figures"], str(path))
    task.progress.note(f"  measuring {name}")
    made = make()
    figures = to_mapping(made)
    write_json(path, {"figures": figures, "sha256": sha256_bytes(json_bytes(figures))})
    return made


def _teacher_int8(task: BaselineTask) -> BaselineFigures:
    from ..teacher.onnx_graph import open_teacher, write_quantized_teacher, write_teacher

    teacher = torch_weights(load_teacher(task.teacher), "teacher-int8", "take it out of evaluate.baselines")
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        folder = Path(name)
        write_teacher(teacher, folder)  # for its tokenizer
        write_quantized_teacher(teacher, folder / "model_quantized.onnx", make_plan("int8", "int7"))
        (folder / "model.onnx").unlink()
        size = sum((folder / file).stat().st_size for file in ("model_quantized.onnx", TOKENIZER_NAME))
        encoder = open_teacher(teacher, folder, "model_quantized")
        queries = encoder.encode_queries(task.judged.texts)
        documents = encoder.encode_documents(task.judged.documents, progress=task.progress)
    method = "teacher with 8-bit table and 7-bit layers, encodes queries and documents"
    return task.measure(TEACHER_INT8, method, size, Vectors(queries, documents))


def _model2vec(task: BaselineTask, settings: Model2vecSettings) -> Iterator[BaselineFigures]:
    largest = max(settings.dimensions)
    for variant in variants(settings):
        yield _cached(task, variant.name, (largest,), lambda variant=variant: _static(task, variant, largest))


def _static(task: BaselineTask, variant: Variant, largest: int) -> BaselineFigures:
    documents = task.judged.documents
    own = documents if variant.vocabulary != "teacher" else []
    parts = [VERSION, task.files.fingerprint, library_version("model2vec"), largest, variant.vocabulary, own]
    folder = task.folder / f"model2vec-{variant.vocabulary}-{sha256_bytes(json.dumps(parts).encode())[:32]}"
    if not folder.is_dir():
        task.progress.note(f"  distilling model2vec, vocabulary: {variant.vocabulary}")
        distil(task.files.folder, variant.vocabulary, own, largest, folder)
    size, model = shipped_model(folder, variant)
    queries = encode(model, task.judged.texts)  # without prompts: in a mean of tokens they only dilute
    return task.measure(variant.name, variant.method, size, Vectors(queries, encode(model, documents)))
