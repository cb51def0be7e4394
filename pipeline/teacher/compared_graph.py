"""The teacher as a model that the benchmark measures beside the bundle: a by-product, never the end of a run."""

import dataclasses
from pathlib import Path

import numpy as np

from ...export.check.parity import compare
from ...runtime.errors import InputError, PocketrankError
from ...runtime.files import write_json
from ..corpus.output import CorpusOutput
from ..stage import StageContext
from .load import load_teacher, torch_weights, without_files
from .onnx_graph import open_teacher, write_teacher
from .output import TeacherOutput
from .selection import selected_teacher, surroundings

_TEXTS = 8
_LEAST_COSINE = 0.99  # the vectors of `teacher.precision = "bf16"` are further from the float32 graph than rounding
# What PyTorch's exporter and ONNX Runtime raise for models that they cannot express; a full disk is not among it.
_NOT_EXPRESSIBLE = (
    PocketrankError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    ImportError,
)


def write_compared_teacher(context: StageContext, folder: Path) -> str:
    """Write the teacher's graph and hold it against the vectors that the student was trained on.

    Returns why there is no graph to compare with; nothing when there is one. The folder also holds `parity.json`.
    """
    context.progress.note("  writing the teacher's graph")
    try:
        _write(context, folder)
    except _NOT_EXPRESSIBLE as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


def _write(context: StageContext, folder: Path) -> None:
    settings = selected_teacher(context)
    if kind := without_files(settings.model):
        raise InputError(f"{settings.model}: {kind}, whose graph is not here")
    loaded = load_teacher(settings, surroundings(context))
    teacher = torch_weights(loaded, "the teacher's graph", "it is not compared")
    if loaded.parts:
        context.progress.note(f"  of several teachers, the graph is that of the first: {teacher.files.name}")
    writer = write_teacher(teacher, folder)
    # `model_max_length` here is what the benchmark and other openers of this folder cut texts at.
    write_json(folder / "tokenizer_config.json", {"model_max_length": teacher.max_length or 512})
    encoder = open_teacher(teacher, folder)
    corpus, made = CorpusOutput.of(context).retrieval_set(), TeacherOutput.of(context)
    if teacher.has_routes:  # the graph is that of the queries
        texts, encode = list(corpus.queries.values()), encoder.encode_queries
        vectors = made.queries(len(texts))
    else:
        texts, encode = list(corpus.documents.values()), encoder.encode_documents
        vectors = made.documents(len(texts))
    rows = [index * len(texts) // _TEXTS for index in range(min(_TEXTS, len(texts)))]
    own = np.asarray(vectors[rows])[:, : teacher.dimension]
    own = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)  # of several teachers, the first's part
    graph = encode([texts[row] for row in rows])
    parity = compare(f"teacher by {writer}", graph, "the teacher's own vectors", own)
    if not parity.cosine_min >= _LEAST_COSINE:
        raise InputError(f"by {writer} it gives other vectors, with cosine {parity.cosine_min:.4f} at worst")
    write_json(folder / "parity.json", dataclasses.asdict(parity))
