"""Stages `benchmark` (what bundle and teacher cost) and `gate` (the verdict)."""

from ..benchmarks.gate.judge import not_judged, write_verdict
from ..benchmarks.gate.junit import write_junit
from ..benchmarks.gate.release import judge_report
from ..benchmarks.measure.model_files import find_model, quality_measurements
from ..benchmarks.measure.query_texts import QueryTexts
from ..benchmarks.measure.run import measure
from ..benchmarks.measure.session import MeasureSettings, ModelFiles
from ..benchmarks.records.report import Report, read_report, write_report
from ..benchmarks.render.page import html_page
from ..benchmarks.render.tables import markdown
from ..export.size.explain import size_breakdown
from ..runtime.files import write_bytes
from ..runtime.manifest import TOKENIZER_NAME
from .corpus.output import CorpusOutput
from .packaging.output import BundleOutput, EvaluateOutput, ExportOutput
from .stage import StageContext
from .teacher.output import TeacherOutput


def run_benchmark(context: StageContext) -> None:
    """Write `report.json` and `report.md`: bundle and teacher on each device of the recipe, with real test queries."""
    report = _measure(context)
    write_report(context.output / "report.json", report)
    write_bytes(context.output / "report.md", markdown(report).encode("utf-8"))


def run_gate(context: StageContext) -> None:
    """Write `verdict.json`, `junit.xml`, and `report.html` for people; without a budget the verdict says so."""
    report = read_report(context.inputs["benchmark"] / "report.json")
    settings = context.recipe.gate
    if not settings.budget:
        context.progress.note("  no budget in the recipe: nothing to hold the bundle to")
        verdict = not_judged(report)
    else:
        verdict = judge_report(report, settings.budget, settings.baseline or None, confirm=lambda: _measure(context))
    write_verdict(context.output / "verdict.json", verdict)
    parts = size_breakdown(BundleOutput.of(context).bundle)
    write_bytes(context.output / "report.html", html_page(report, verdict, parts))
    write_junit(context.output / "junit.xml", verdict)


def _measure(context: StageContext) -> Report:
    settings = context.recipe.benchmark
    bundle = BundleOutput.of(context).bundle
    models = [find_model(bundle)]
    if settings.compare_teacher:
        teacher = ExportOutput.of(context).teacher
        length = int(TeacherOutput.of(context).record().get("max_length", 256))
        models.append(ModelFiles("teacher", teacher / "model.onnx", teacher / TOKENIZER_NAME, length))
    corpus = CorpusOutput.of(context).retrieval_set()
    queries = corpus.split_queries("test") or corpus.queries
    return measure(
        models,
        settings.devices,
        MeasureSettings(
            repetitions=settings.repetitions,
            min_seconds=settings.min_seconds,
            min_queries=settings.min_queries,
            energy=settings.energy,
        ),
        QueryTexts(list(queries.values()), "held-out queries of the corpus"),
        context.progress,
        quality=quality_measurements(bundle, EvaluateOutput.of(context).evaluation_file),
    )
