"""Stages `benchmark` (what bundle and teacher cost) and `gate` (the verdict)."""

import dataclasses
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ..benchmarks.gate.budget import read_budget
from ..benchmarks.gate.judge import not_judged, write_verdict
from ..benchmarks.gate.junit import write_junit
from ..benchmarks.gate.ranking import RankedTexts, RankingChange, Rankings, compare_answers
from ..benchmarks.gate.release import judge_report, read_baseline
from ..benchmarks.measure.model_files import find_model, quality_measurements
from ..benchmarks.measure.query_texts import QueryTexts
from ..benchmarks.measure.run import measure
from ..benchmarks.measure.session import MeasureSettings, ModelFiles
from ..benchmarks.records.metrics import Measurement
from ..benchmarks.records.report import Report, read_report, write_report
from ..benchmarks.render.page import html_page
from ..benchmarks.render.tables import markdown
from ..devices.targets.open import check_devices, open_target
from ..export.size.explain import size_breakdown
from ..runtime.errors import InputError, UnavailableError
from ..runtime.files import write_bytes
from ..runtime.manifest import TOKENIZER_NAME, read_manifest
from .corpus.output import CorpusOutput
from .distill.output import DistillOutput
from .evaluate.record import read_evaluation
from .packaging.output import BundleOutput, EvaluateOutput
from .passages.output import PassagesOutput, PassagesRecord
from .quantize.plan_choice import target_bytes
from .retrieval.dataset import RetrievalSet
from .settings import Recipe
from .stage import OutputPath, StageContext, StageOutput
from .student.start import Start
from .teacher.compared_graph import write_compared_teacher
from .teacher.output import TeacherOutput

_BEGINNING = 60  # characters of a document: about as long as a query


class BenchmarkOutput(StageOutput):
    """The report, and the teacher as it was measured."""

    stage: ClassVar[str] = "benchmark"

    report_file = OutputPath("report.json")
    teacher = OutputPath("teacher")  # `model.onnx` and `tokenizer.json`; absent where the teacher is not compared


def run_benchmark(context: StageContext) -> None:
    """Write `report.json` and `report.md`: bundle and teacher on each device of the recipe, with real test queries.

    A teacher that no graph can be written for is left out, and the report says why it names one model.
    """
    output = BenchmarkOutput(context.output)
    not_compared = ""
    if context.recipe.benchmark.compare_teacher:
        reason = write_compared_teacher(context, output.teacher)
        if reason:
            shutil.rmtree(output.teacher, ignore_errors=True)
            not_compared = f"the teacher is not measured beside the bundle: no graph of it ({reason})"
            context.progress.note(f"  {not_compared}")
    report = dataclasses.replace(
        _measure(context, output.teacher), not_compared=not_compared, first_weights=_first_weights(context)
    )
    write_report(output.report_file, report)
    write_bytes(context.output / "report.md", markdown(report).encode("utf-8"))


def check_benchmark(recipe: Recipe) -> str:
    """Check before a run that every device has a profile, and that what emulates it is ready here."""
    settings = recipe.benchmark
    check_devices(settings.devices)
    for device in settings.devices:
        open_target(device)
    if settings.energy == "codecarbon" and importlib.util.find_spec("codecarbon") is None:
        raise UnavailableError(
            'benchmark.energy = "codecarbon" needs codecarbon, which is not installed here; '
            "run: pip install 'pocketrank[energy]', or set it to \"auto\""
        )
    return ", ".join(settings.devices)


def check_gate(recipe: Recipe) -> str:
    """Check before a run that budget and baseline can be read, and that what the budget limits is measured."""
    settings = recipe.gate
    if settings.baseline:
        read_baseline(Path(settings.baseline))
    if not settings.budget:
        return "no budget"
    limits = read_budget(Path(settings.budget)).limits
    for limit in limits:
        if limit.device and limit.device not in recipe.benchmark.devices:
            raise InputError(
                f"{limit.place} is a limit on {limit.device}, which benchmark.devices does not name, so that it would "
                "fail; add the device or take the limit out"
            )
    return f"{len(limits)} limits of {settings.budget}"


def largest_bytes(recipe: Recipe) -> tuple[float, str]:
    """Return how many bytes the shipped ONNX file may have, by the budget and `quantize.target_bytes`, and who says."""
    allowed = [(float("inf"), "")]
    if recipe.quantize.target_bytes:
        allowed.append((target_bytes(recipe.quantize), "quantize.target_bytes"))
    for limit in read_budget(Path(recipe.gate.budget)).limits if recipe.gate.budget else ():
        if limit.section == "bundle" and limit.metric in ("shipped_bytes", "model_bytes"):
            allowed.append((limit.limit, limit.place))
    return min(allowed)


def run_gate(context: StageContext) -> None:
    """Write `verdict.json`, `junit.xml`, and `report.html` for people; without a budget the verdict says so."""
    benchmark = BenchmarkOutput.of(context)
    report = read_report(benchmark.report_file)
    settings = context.recipe.gate
    if not settings.budget:
        context.progress.note("  no budget in the recipe: nothing to hold the bundle to")
        verdict = not_judged(report)
    else:
        verdict = judge_report(
            report,
            settings.budget,
            settings.baseline or None,
            confirm=lambda: _measure(context, benchmark.teacher),
            rankings=_rankings(context),
        )
    write_verdict(context.output / "verdict.json", verdict)
    parts = size_breakdown(BundleOutput.of(context).bundle)
    write_bytes(context.output / "report.html", html_page(report, verdict, parts))
    write_junit(context.output / "junit.xml", verdict)


def _measure(context: StageContext, teacher: Path) -> Report:
    settings = context.recipe.benchmark
    bundle = BundleOutput.of(context).bundle
    models = [find_model(bundle)]
    if teacher.is_dir():
        length = int(TeacherOutput.of(context).record().get("max_length", 256))
        models.append(ModelFiles("teacher", teacher / "model.onnx", teacher / TOKENIZER_NAME, length))
    evaluation = EvaluateOutput.of(context).evaluation_file
    report = measure(
        models,
        settings.devices,
        MeasureSettings(
            repetitions=settings.repetitions,
            min_seconds=settings.min_seconds,
            min_queries=settings.min_queries,
            energy=settings.energy,
        ),
        _texts(CorpusOutput.of(context).retrieval_set()),
        context.progress,
        quality=[
            *quality_measurements(bundle, evaluation),
            *_token_shares(PassagesOutput.of(context).record()),
        ],
    )
    return dataclasses.replace(report, quality_not_measured=read_evaluation(evaluation).not_measured)


def _rankings(context: StageContext) -> Rankings:
    """Let this bundle and the last release answer the test queries where the budget limits how much may change."""
    settings = context.recipe.gate
    limits = read_budget(Path(settings.budget)).limits
    wanted = list(dict.fromkeys(limit.documents for limit in limits if limit.section == "ranking"))
    if not wanted:
        return {}
    old, corpus = Path(settings.baseline), CorpusOutput.of(context).retrieval_set()
    queries = list(corpus.split_queries("test").values())
    if not settings.baseline or not old.is_dir():
        return dict.fromkeys(wanted, "gate.baseline names no bundle of the last release")
    if not queries:
        return dict.fromkeys(wanted, "the corpus has no test queries")
    titles = [corpus.titles[name] for name in corpus.documents]
    texts = RankedTexts(queries, list(corpus.documents.values()), titles)
    return {documents_by: _compared(context, old, texts, documents_by) for documents_by in wanted}


def _compared(context: StageContext, old: Path, texts: RankedTexts, documents_by: str) -> RankingChange | str:
    new, vectors = BundleOutput.of(context).bundle, None
    if documents_by == "teacher":
        if read_manifest(old).teacher.sha256 != read_manifest(new).teacher.sha256:
            return "the last release has another teacher, whose vectors of the documents are not here"
        vectors = TeacherOutput.of(context).documents(len(texts.documents))
    return compare_answers(old, new, texts, vectors, context.progress)


def _first_weights(context: StageContext) -> str:
    """Return where training began, in words."""
    start = DistillOutput.of(context).start()
    return Start(start["start"], spelled=start["spelled"]).describe()


def _texts(corpus: RetrievalSet) -> QueryTexts:
    """Return what stands for queries on the device: the held-out ones, or else the most like them that there is."""
    if held_out := corpus.split_queries("test"):
        return QueryTexts(list(held_out.values()), "held-out queries of the corpus")
    if corpus.queries:
        return QueryTexts(list(corpus.queries.values()), "training queries of the corpus")
    beginnings = [text[:_BEGINNING] for text in corpus.documents.values()]
    return QueryTexts(beginnings, "beginnings of the documents, for want of queries")


def _token_shares(record: PassagesRecord) -> Iterator[Measurement]:
    """Yield which shares of the documents' tokens were trained on and are indexed."""
    read = {
        "document_tokens_trained": (record.trained_tokens, "tokens of the documents in training texts and passages"),
        "document_tokens_indexed": (record.indexed_tokens, "tokens of the documents that the student reads"),
    }
    for name, (tokens, method) in read.items():
        share = tokens / max(record.tokens, 1)
        yield Measurement(name, "1", "counted", f"{method}, share of all", value=share, count=record.documents)
