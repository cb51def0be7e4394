"""Real texts to measure with: from a file, from a retrieval set, or a short built-in list of questions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import InputError
from ...runtime.files import read_text, sha256_bytes
from ..records.report import TextFacts


@dataclass(frozen=True)
class QueryTexts:
    """Queries to measure with, and where they are from."""

    texts: Sequence[str]
    source: str = "texts of the caller"


_QUESTIONS = (
    "merge two sorted lists",
    "how do I parse a date in a given format",
    "remove duplicates while keeping order",
    "what does a context manager do when an exception is raised",
    "read a file line by line",
    "difference between shallow and deep copy",
    "run a command and capture its output",
    "default value for a missing key",
    "convert bytes to text",
    "is it safe to change a dictionary while iterating over it",
    "measure elapsed time with a monotonic clock",
    "how to split a string on several separators",
    "random number with a fixed seed",
    "match a pattern only at the start of a line",
    "limit the number of simultaneous connections",
    "why is my floating point sum not exact",
    "sort by two keys, one of them descending",
    "flatten a nested list",
    "open a socket with a timeout",
    "which exceptions should I catch when a file may not exist",
    "environment variable",
    "group items by a key function and count them",
    "compute a moving average over a window of the last values",
    "schedule a callback to run later in the event loop",
    "decode JSON with a custom object hook",
    "temporary directory that is removed automatically",
    "pass arguments through to another function unchanged",
    "compare two version numbers",
    "how can a class make its instances iterable",
    "write rows to a comma separated file with a header",
    "truncate a number to two decimal places",
    "find the first element that satisfies a condition, or a default when there is none",
)
BUILT_IN = QueryTexts(_QUESTIONS, "built-in questions")


def choose_texts(texts: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` texts, taken evenly over the sequence so that a sorted file is not cut in two."""
    clean = [text for text in texts if text.strip()]
    if len(clean) <= limit:
        return list(clean)
    return [clean[index * len(clean) // limit] for index in range(limit)]


def read_texts(path: Path) -> QueryTexts:
    """Read queries from a BEIR folder, a JSON Lines file with a "text" key, or a file with one text a line."""
    source = path.name
    if path.is_dir():
        path = path / "queries.jsonl"
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if path.suffix == ".jsonl":
        lines = [_text_of(path, number, line) for number, line in enumerate(lines, start=1)]
    if not lines:
        raise InputError(f"{path} holds no texts; put one text on a line")
    return QueryTexts(lines, source)


def text_facts(source: str, texts: Sequence[str]) -> TextFacts:
    """Return what identifies these texts in a report."""
    joined = "\n".join(texts).encode("utf-8")
    return TextFacts(source, len(texts), sha256_bytes(joined), round(sum(map(len, texts)) / len(texts), 2))


def _text_of(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: not valid JSON ({error.msg}); fix the line") from None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise InputError(f'{path}, line {number}: an object with a "text" is needed; fix the line')
    return value["text"]
