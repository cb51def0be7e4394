"""The stage `queries`: the texts that the student is trained on.

The student has to agree with the teacher where real queries will fall, so that documents alone are not enough
(Kim et al., "EmbedDistill", 2023, train on generated queries for the same reason). From every document come its
title, sentences, crops (runs of words) and keyword queries (its words of largest tf-idf weight); the training
queries and the lines of files of texts come in as they are. Held-out queries, and whatever nearly repeats one, never
enter.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ...runtime.files import write_bytes, write_json
from ..corpus.output import CorpusOutput
from ..retrieval.dataset import RetrievalSet, json_lines
from ..settings import QueriesSettings
from ..stage import StageContext
from .generators import _crops, _keywords, _lines, _sample, _sentences, _templated
from .held_out import HeldOut
from .output import QueriesOutput
from .training_texts import TrainingText
from .typing_noise import noisy

ROLES = ("query", "document")
MAX_TEXT_CHARACTERS = 2000  # of a generated text; documents stay as they are
_SEED_WORDS = {"templated": "framed"}  # seeds its random draws as ever: the same recipe gives the same texts
_REAL = ("query", "file")  # texts that people wrote are taken as they are


def run_queries(context: StageContext) -> None:
    """Write `training.jsonl` and `report.json`: counts by kind, and what was left out because it repeats a test."""
    retrieval_set = CorpusOutput.of(context).retrieval_set()
    texts, report = training_texts(retrieval_set, context.recipe.queries, context.recipe.seed)
    write_bytes(QueriesOutput(context.output).training_file, json_lines(text.record() for text in texts))
    write_json(context.output / "report.json", report)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report["texts"].items())
    context.progress.note(f"  {len(texts):,} training texts: {counts}")


def training_texts(
    retrieval_set: RetrievalSet, settings: QueriesSettings, seed: int
) -> tuple[list[TrainingText], dict[str, Any]]:
    """Return the training texts, documents first, and the report on them.

    Every kind of `settings.kinds` gets an equal share of what `settings.max_texts` leaves beside the documents; what
    one kind cannot fill goes to the others. Documents take half of the cap at most. The same set,
    settings and seed give the same texts in the same order.
    """
    held_out = HeldOut(retrieval_set.split_queries("test").values())
    documents = [TrainingText(text, "document", "document") for text in dict.fromkeys(retrieval_set.documents.values())]
    cap = settings.max_texts // 2 if settings.kinds else settings.max_texts
    documents = _sample(documents, cap, random.Random(f"{seed} document"))
    makers: dict[str, Callable[[random.Random], Iterator[str]]] = {
        "query": lambda _: iter(retrieval_set.split_queries("train").values()),
        "file": lambda _: _lines(settings.files),
        "title": lambda _: (title for title in retrieval_set.titles.values() if title),
        "sentence": lambda rng: _sentences(retrieval_set, settings.per_document, rng),
        "crop": lambda rng: _crops(retrieval_set, settings.per_document, rng),
        "keywords": lambda rng: _keywords(retrieval_set, settings.per_document, rng),
        "templated": lambda rng: _templated(retrieval_set, settings, rng),
    }
    seen = {text.text for text in documents}
    candidates: dict[str, list[TrainingText]] = {}
    dropped: Counter[str] = Counter()
    further = {"file": settings.files, "templated": settings.templates}
    for kind in (*settings.kinds, *(kind for kind, given in further.items() if given)):
        rng = random.Random(f"{seed} {_SEED_WORDS.get(kind, kind)}")
        candidates[kind] = []
        for clean in makers[kind](rng):
            whole = clean if kind in _REAL else " ".join(clean[:MAX_TEXT_CHARACTERS].split())
            text = whole if kind in _REAL else _disturbed(whole, settings, rng)
            if not text or text in seen:
                continue
            seen.add(text)
            if held_out.repeats(text) or (text != clean and held_out.repeats(clean)):
                dropped[kind] += 1
            else:
                target = whole if text != whole and settings.noise_target == "clean" else ""
                candidates[kind].append(TrainingText(text, "query", kind, target))
    shares = fair_shares({kind: len(texts) for kind, texts in candidates.items()}, settings.max_texts - len(documents))
    chosen = [
        text
        for kind, texts in candidates.items()
        for text in _sample(texts, shares[kind], random.Random(f"{seed} share {_SEED_WORDS.get(kind, kind)}"))
    ]
    report = {
        "texts": {"document": len(documents), **shares},
        "generated": {kind: len(texts) for kind, texts in candidates.items()},
        "dropped_as_held_out": {kind: dropped[kind] for kind in candidates},
        "held_out_queries": len(held_out),
    }
    return documents + chosen, report


def fair_shares(available: dict[str, int], room: int) -> dict[str, int]:
    """Share `room` equally; what one cannot fill goes to the others, the first ones getting the odd texts."""
    shares = dict.fromkeys(available, 0)
    room = max(room, 0)
    open_kinds = [kind for kind, count in available.items() if count]
    while room and open_kinds:
        each, odd = divmod(room, len(open_kinds))
        for position, kind in enumerate(open_kinds):
            given = min(available[kind] - shares[kind], each + (position < odd))
            shares[kind] += given
            room -= given
        open_kinds = [kind for kind in open_kinds if shares[kind] < available[kind]]
    return shares


def _disturbed(text: str, settings: QueriesSettings, rng: random.Random) -> str:
    if settings.term_dropout:
        words = text.split()
        kept = [word for word in words if rng.random() >= settings.term_dropout]
        text = " ".join(kept or words)
    return " ".join(noisy(text, settings.noise, rng).split())
