"""Real texts to measure with: from a file, from a retrieval set, or a short built-in list of questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.documents.texts import read_texts
from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes
from ..records.report import TextFacts


@dataclass(frozen=True)
class QueryTexts:
    """Queries to measure with, and where they are from."""

    texts: Sequence[str]
    source: str = "texts of the caller"


_QUESTIONS = Path(__file__).with_name("questions.txt")
BUILT_IN = QueryTexts(_QUESTIONS.read_text(encoding="utf-8").splitlines(), "built-in questions")


def choose_texts(texts: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` texts, taken evenly over the sequence so that a sorted file is not cut in two."""
    clean = [text for text in texts if text.strip()]
    if len(clean) <= limit:
        return list(clean)
    return [clean[index * len(clean) // limit] for index in range(limit)]


def read_queries(path: Path) -> QueryTexts:
    """Read queries from a BEIR folder, or from a file with one text a line or one a record."""
    texts = list(read_texts(path / "queries.jsonl" if path.is_dir() else path))
    if not texts:
        raise InputError(f"{path} holds no texts; put one text on a line")
    return QueryTexts(texts, path.name)


def text_facts(source: str, texts: Sequence[str]) -> TextFacts:
    """Return what identifies these texts in a report."""
    joined = "\n".join(texts).encode("utf-8")
    return TextFacts(source, len(texts), sha256_bytes(joined), round(sum(map(len, texts)) / len(texts), 2))
