"""What can be known before the first stage of a run, checked before it: so that no hour of work ends in a wrong name.

Each wing checks its own section of the recipe; here is their table, and what concerns several of them. A check returns
what it found, in words, or raises the error that the stage would end with.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..export.quantization.rounding import graph_names
from ..runtime.documents.kinds import find_sources
from ..runtime.documents.remarks import Remarks
from ..runtime.errors import InputError
from ..runtime.files import require_space
from ..runtime.progress import NoProgress
from .benchmark_stage import check_benchmark, check_gate, largest_bytes
from .corpus.stage import check_corpus, check_coverage, check_vectors, read_source
from .distill.checks import check_distill, check_start, check_student
from .evaluate.stage import check_evaluate
from .packaging.stage import check_export
from .precomputed.lookup import CorpusTexts, is_precomputed, precomputed_vectors
from .quantize.recipe_plan import check_quantize, recipe_plan
from .queries.stage import check_queries
from .settings import Recipe
from .student.model import shape_of
from .teacher.cross_encoder.stage import check_cross_encoder
from .teacher.load import Surroundings, check_dimension, load_teacher, torch_weights, without_files
from .teacher.onnx_folder.files import graph_of
from .teacher.onnx_graph import writable_pooling
from .teacher.protocol import EmbeddingTeacher
from .teacher.vectors.kept_space import kept_space
from .training.accelerator import ChosenDevice, check_device
from .vocabulary.stage import check_teacher_tokens, check_vocabulary, least_size

_BITS = {"fp32": 32, "fp16": 16, "int4": 4}  # of a weight; 8 for all others. Scales come on top.
_DOCUMENTS = 10_000  # where their number is not known before they are read
_DOCUMENT_BYTES = 500  # of a passage in text files, on average
_NO_TOKENS = 'a static student starts from vectors of tokens: set student.initialise = "random"'
_COPIES = 3  # of a vector while the stage runs: in a shard, joined, and among the training texts


@dataclass(frozen=True)
class Check:
    """One thing that is checked before the first stage."""

    name: str
    stage: str  # the first one that would fail
    run: Callable[[Recipe], str]
    costly: bool = False  # loads a model: left out when its stage is finished


def check_sizes(recipe: Recipe) -> str:
    """Check that the smallest student that the recipe allows fits the limits on its bytes (estimated)."""
    shape = shape_of(recipe.student, least_size(recipe.vocabulary), recipe.teacher.dimension or recipe.student.hidden)
    chosen_later = bool(recipe.quantize.target_bytes)
    plan, names = recipe_plan(recipe.quantize), graph_names(shape.layers)
    total = 0
    for weight, (rows, columns) in ((name, size) for name, size in shape.sizes().items() if len(size) == 2):
        scheme = plan.scheme(*names[weight]) if weight in names else "fp16"
        bits = _BITS["int4"] if chosen_later else _BITS.get(scheme, 8)
        total += rows * columns * bits // 8
    allowed, by = largest_bytes(recipe)
    if total > allowed:
        raise InputError(
            f"{by} allows {allowed:,.0f} bytes, and the weights of the student with {shape.vocabulary:,} tokens alone "
            f"have {total:,} (estimated); lower vocabulary.size or candidates, student.hidden or the bits in [quantize]"
        )
    return f"{total:,} bytes of weights or more (estimated)" + (f", at most {allowed:,.0f}" if by else "")


def check_teacher(recipe: Recipe, out: Path) -> str:
    """Load the teacher, let it encode one text, and hold its dimension to the texts, the student and the disk."""
    settings, texts = recipe.teacher, expected_texts(recipe)
    space = kept_space(settings)
    if settings.dimension > texts.most and space is None:
        raise InputError(
            f"teacher.dimension = {settings.dimension} needs as many training texts, and there are {texts.most:,} at "
            "most; lower it, raise queries.max_texts or add texts"
        )
    if recipe.cross_encoder.model and "embeddings" in recipe.cross_encoder.use:
        return "the cross-encoder takes its place"
    if precomputed_vectors(settings) and recipe.corpus.source == "hub":
        return "tried when the corpus is fetched, of which it has vectors"
    read = partial(read_source, recipe.corpus, NoProgress())
    teacher = load_teacher(settings, Surroundings(corpus=lambda: CorpusTexts.of(read()[0], recipe.corpus)))
    if not precomputed_vectors(settings):
        teacher.encode(["one text"], "query")
    check_dimension(settings, teacher.dimension)
    if space is not None:
        space.check_teacher(teacher.files, teacher.dimension, teacher.parts)
    shape_of(recipe.student, 1, space.manifest.dimension if space else settings.dimension or teacher.dimension)
    _check_weights(recipe, teacher)
    files = teacher.first.files.folder.rglob("*.safetensors") if teacher.first else ()
    weights = sum(path.stat().st_size for path in files)
    vectors = _COPIES * 4 * teacher.dimension * texts.likely
    require_space(out, vectors + weights, f"the run, with vectors of {texts.likely:,} texts and the teacher's graph,")
    return f"{teacher.files.name} gives vectors of {teacher.dimension} dimensions"


def check_space(recipe: Recipe) -> str:
    """Check that the vector space that the recipe keeps is there, and has the dimension that it asks for."""
    space = kept_space(recipe.teacher)
    if space is None:
        return "a vector space of its own"
    space.check_settings(recipe.teacher)
    return f"keeps the vector space {space.manifest.space[:12]} of {space.bundle}"


def check_teacher_files(recipe: Recipe) -> str:
    """Check that no later stage needs what a teacher does not have here: a server no files, a graph no weights."""
    settings = recipe.teacher
    nothing, folder = without_files(settings.model), Path(settings.model)
    if not nothing and not (folder.is_dir() and graph_of(folder)):
        return "its files are here"
    kind = nothing or "an ONNX folder"
    for key, value, advice in (
        ("vocabulary.kind", nothing and recipe.vocabulary.kind == "teacher", 'set it to "wordpiece" or "unigram"'),
        ("evaluate.baselines", "model2vec" in recipe.evaluate.baselines, "take model2vec out"),
    ):
        if value:
            raise InputError(f"{key} needs the files of the teacher, and {settings.model} is {kind}; {advice}")
    for key, value, usual in (("precision", settings.precision, "fp32"), ("device", settings.device, "cpu")):
        if value != usual:
            raise InputError(f"teacher.{key} is not ours to choose: the teacher is {kind}; take it out of the recipe")
    return kind


def check_new_vectors(recipe: Recipe) -> str:
    """Refuse what needs vectors of texts that are made later, where the teacher's vectors exist already."""
    if not precomputed_vectors(recipe.teacher):
        return "the teacher encodes any text"
    noisy = recipe.queries.noise_target == "own" and (recipe.queries.noise > 0 or recipe.queries.term_dropout > 0)
    own, settings = is_precomputed(recipe.teacher.model), recipe.teacher
    embeddings = bool(recipe.cross_encoder.model) and "embeddings" in recipe.cross_encoder.use
    for key, value, advice in (
        ("distill.passage_share", recipe.distill.passage_share > 0, "set it to 0"),
        ("queries.noise_target", noisy, 'set it to "clean"'),
        ("student.kind", recipe.student.kind == "static" and recipe.student.initialise != "random", _NO_TOKENS),
        ("cross_encoder.use", embeddings, "take embeddings out"),
        ("teacher.query_prompt", own and settings.query_prompt, "take it out"),
        ("teacher.document_prompt", own and settings.document_prompt, "take it out"),
        ("teacher.max_length", own and settings.max_length, "take it out"),
    ):
        if value:
            raise InputError(f"{key} needs vectors that are made anew, and the teacher's exist already; {advice}")
    return "no text needs a new vector; texts without one are left out"


def _check_weights(recipe: Recipe, teacher: EmbeddingTeacher) -> None:
    """Refuse what takes the weights of a teacher that has none of PyTorch's."""
    if recipe.student.kind == "transformer" and recipe.student.initialise == "teacher":
        torch_weights(teacher, 'student.initialise = "teacher"', 'set it to "general" or "random"')
    if "teacher-int8" in recipe.evaluate.baselines:
        first = torch_weights(teacher, "teacher-int8", "take it out of evaluate.baselines")
        if writable_pooling(first) is None:
            raise InputError(
                f"{teacher.files.name}: only BERT-family teachers can be quantized; take teacher-int8 out of "
                "evaluate.baselines"
            )


def check_devices(recipe: Recipe) -> str:
    """Check that what the recipe computes on is here."""
    cross_encoder: ChosenDevice = recipe.cross_encoder.device if recipe.cross_encoder.model else "cpu"
    wanted: dict[str, ChosenDevice] = {
        "teacher": recipe.teacher.device,
        "cross_encoder": cross_encoder,
        "distill": recipe.distill.device,
    }
    found = {section: check_device(device, f"{section}.device") for section, device in wanted.items()}
    return ", ".join(f"{section} on {device}" for section, device in found.items())


@dataclass(frozen=True)
class ExpectedTexts:
    """How many texts the teacher encodes."""

    most: int  # training texts, at most
    likely: int  # all of them, roughly


def expected_texts(recipe: Recipe) -> ExpectedTexts:
    """Return how many texts there will be, as far as that can be known without reading the corpus."""
    corpus, queries = recipe.corpus, recipe.queries
    path, documents = Path(corpus.path), corpus.max_documents or _DOCUMENTS
    exact = corpus.source == "beir" and (path / "corpus.jsonl").is_file()
    if exact:
        documents = _lines(path / "corpus.jsonl")
    elif corpus.source == "texts":
        documents = sum(file.path.stat().st_size for file in find_sources(path, Remarks())) // _DOCUMENT_BYTES + 1
    documents = min(documents, corpus.max_documents or documents)
    kinds = len(queries.kinds) + len(queries.templates)
    real = sum(_lines(Path(name)) for name in (str(path / "queries.jsonl"), *queries.files) if Path(name).is_file())
    training = documents * (1 + kinds * max(queries.per_document, 1)) + real
    likely = min(queries.max_texts, training)
    return ExpectedTexts(likely if exact else queries.max_texts, documents + likely)


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b"")) + 1


CHECKS = (
    Check("corpus", "corpus", check_corpus),
    Check("vectors", "corpus", check_vectors),
    Check("queries", "queries", check_queries),
    Check("new vectors", "queries", check_new_vectors),
    Check("vocabulary", "vocabulary", check_vocabulary),
    Check("training", "distill", check_distill),
    Check("student", "distill", check_student),
    Check("quantization", "export", check_quantize),
    Check("device", "teacher", check_devices),
    Check("export", "export", check_export),
    Check("baselines", "evaluate", check_evaluate),
    Check("devices", "benchmark", check_benchmark),
    Check("budget", "gate", check_gate),
    Check("size", "gate", check_sizes),
    Check("teacher's files", "vocabulary", check_teacher_files),
    Check("space", "teacher", check_space),
    Check("coverage", "corpus", check_coverage, costly=True),
    Check("tokens", "vocabulary", check_teacher_tokens, costly=True),
    Check("first weights", "distill", check_start, costly=True),
    Check("cross-encoder", "cross_encoder", check_cross_encoder, costly=True),
)


def quick_checks(recipe: Recipe, stages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield name and finding of what needs no model, for a run of `stages`."""
    for check in CHECKS:
        if not check.costly and check.stage in stages:
            yield check.name, check.run(recipe)


def costly_checks(recipe: Recipe, out: Path, stages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield name and finding of what loads a model, for a run in `out` that has `stages` still to make."""
    for check in CHECKS:
        if check.costly and check.stage in stages:
            yield check.name, check.run(recipe)
    if "teacher" in stages:
        yield "teacher", check_teacher(recipe, out)
