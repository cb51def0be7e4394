"""Queries and settings of a measurement that takes a moment, and scripts to run on a target."""

from pathlib import Path

from pocketrank.benchmarks.measure.query_texts import QueryTexts
from pocketrank.benchmarks.measure.session import MeasureSettings

TEXTS = ["merge two sorted lists", "open a network connection", "random number", "read text from socket"]
QUERIES = QueryTexts(TEXTS)
QUICK = MeasureSettings(
    repetitions=2, min_seconds=0.05, min_queries=40, warmup=2, energy="none", timeout=120, idle_seconds=0
)


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return path
