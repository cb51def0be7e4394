"""The stage `queries`: the texts that the student is trained on.

The student has to agree with the teacher where real queries will fall, so that documents alone are not enough
(Kim et al., "EmbedDistill", 2023, train on generated queries for the same reason). From every document come its
title, sentences, crops (runs of words) and keyword queries (its words of largest tf-idf weight); the training
queries and the lines of files of texts come in as they are. Held-out queries, and whatever nearly repeats one, never
enter.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runtime.documents.texts import text_source
from ...runtime.errors import InputError
from ...runtime.files import write_bytes, write_json
from ..corpus.output import CorpusOutput
from ..precomputed.coverage import Coverage
from ..retrieval.budoux_words import require_library
from ..retrieval.dataset import RetrievalSet, json_lines
from ..settings import QueriesSettings, Recipe
from ..stage import StageContext
from .generators import FINDERS, crops, keywords, lines, placeholder, sample, sentences, templated
from .held_out import HeldOut
from .output import QueriesOutput
from .training_texts import TrainingText
from .typing_noise import add_typing_noise

MAX_TEXT_CHARACTERS = 2000  # of a generated text; documents stay as they are
_REAL = ("query", "file", "precomputed")  # texts that people wrote are taken as they are


def run_queries(context: StageContext) -> None:
    """Write `training.jsonl` and `report.json`: counts by kind, and what was left out because it repeats a test."""
    retrieval_set = CorpusOutput.of(context).retrieval_set()
    coverage = Coverage(context.recipe.teacher, retrieval_set, context.recipe.corpus)
    texts, report = training_texts(retrieval_set, context.recipe.queries, context.recipe.seed, coverage)
    dimension = context.recipe.teacher.dimension
    if dimension > len(texts):  # known before the run only where documents can be counted
        raise InputError(
            f"teacher.dimension = {dimension} needs as many training texts, and there are {len(texts):,}; lower it, "
            "raise queries.max_texts or add texts"
        )
    write_bytes(QueriesOutput(context.output).training_file, json_lines(text.record() for text in texts))
    write_json(context.output / "report.json", report)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report["texts"].items())
    context.progress.note(f"  {len(texts):,} training texts: {counts}")
    if any(report.get("without_vector", {}).values()):
        words = ", ".join(f"{count:,} {kind}" for kind, count in report["without_vector"].items() if count)
        context.progress.note(f"  left out because they have no vector: {words}")


def training_texts(
    retrieval_set: RetrievalSet, settings: QueriesSettings, seed: int, coverage: Coverage | None = None
) -> tuple[list[TrainingText], dict[str, Any]]:
    """Return the training texts, documents first, and the report on them.

    Every kind of `settings.kinds` gets an equal share of what `settings.max_texts` leaves beside the documents; what
    one kind cannot fill goes to the others. Documents take half of the cap at most. The same set, settings and seed
    give the same texts in the same order. Where the teacher's vectors exist already, `coverage` says of which texts:
    others are left out and counted.
    """
    given = coverage.texts() if coverage else []
    held_out = HeldOut(retrieval_set.split_queries("test").values())
    documents = [TrainingText(text, "document", "document") for text in dict.fromkeys(retrieval_set.documents.values())]
    cap = settings.max_texts // 2 if settings.kinds else settings.max_texts
    documents = sample(documents, cap, random.Random(f"{seed} document"))
    seen = {text.text for text in documents}
    dropped: Counter[str] = Counter()
    without_vector: Counter[str] = Counter()
    further = {"file": settings.files, "precomputed": given, "templated": settings.templates}
    kinds = [*settings.kinds, *(kind for kind, source in further.items() if source)]

    def made(kind: str) -> Iterator[TrainingText]:
        rng = random.Random(f"{seed} {_seed_word(kind)}")
        for text, clean in _generated(kind, retrieval_set, settings, rng, given):
            if not text.text or text.text in seen:
                continue
            seen.add(text.text)
            if held_out.repeats(text.text) or (text.text != clean and held_out.repeats(clean)):
                dropped[kind] += 1
            elif coverage and not coverage.has(text.target or text.text, "query"):
                without_vector[kind] += 1
            else:
                yield text

    candidates = {kind: list(made(kind)) for kind in kinds}
    shares = fair_shares({kind: len(texts) for kind, texts in candidates.items()}, settings.max_texts - len(documents))
    chosen = [
        text
        for kind, texts in candidates.items()
        for text in sample(texts, shares[kind], random.Random(f"{seed} share {_seed_word(kind)}"))
    ]
    report = {
        "texts": {"document": len(documents), **shares},
        "generated": {kind: len(texts) for kind, texts in candidates.items()},
        "dropped_as_held_out": {kind: dropped[kind] for kind in candidates},
        "held_out_queries": len(held_out),
    }
    if coverage and coverage.members:
        report["without_vector"] = {kind: without_vector[kind] for kind in candidates}
    return documents + chosen, report


def _generated(
    kind: str, retrieval_set: RetrievalSet, settings: QueriesSettings, rng: random.Random, given: Sequence[str]
) -> Iterator[tuple[TrainingText, str]]:
    """Yield every text of one kind, with noise where the recipe asks for it, and the text that it was made from."""
    if kind in _REAL:
        real = {"file": lines(settings.files), "precomputed": given}
        for text in real.get(kind) or retrieval_set.split_queries("train").values():
            yield TrainingText(text, "query", kind), text
        return
    find = FINDERS[settings.words]
    generators: dict[str, Callable[[], Iterator[str]]] = {
        "title": lambda: (title for title in retrieval_set.titles.values() if title),
        "sentence": lambda: sentences(retrieval_set, settings.per_document, rng, find),
        "crop": lambda: crops(retrieval_set, settings.per_document, rng, find),
        "keywords": lambda: keywords(retrieval_set, settings.per_document, rng, find),
        "templated": lambda: templated(retrieval_set, settings, rng),
    }
    for clean in generators[kind]():
        whole = " ".join(clean[:MAX_TEXT_CHARACTERS].split())
        text = _add_noise(whole, settings, rng)
        target = whole if text != whole and settings.noise_target == "clean" else ""
        yield TrainingText(text, "query", kind, target), clean


def _seed_word(kind: str) -> str:
    return "framed" if kind == "templated" else kind  # the same recipe gives the same texts as ever


def check_queries(recipe: Recipe) -> str:
    """Check before a run what training texts are made from: files and templates."""
    settings = recipe.queries
    for name in settings.files:
        try:
            text_source(Path(name))
        except InputError as error:
            raise InputError(f"queries.files: {error}") from None
    for template in settings.templates:
        placeholder(template)
    if settings.words == "budoux":
        require_library()
    return f"at most {settings.max_texts:,} training texts"


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


def _add_noise(text: str, settings: QueriesSettings, rng: random.Random) -> str:
    if settings.term_dropout:
        words = text.split()
        kept = [word for word in words if rng.random() >= settings.term_dropout]
        text = " ".join(kept or words)
    return " ".join(add_typing_noise(text, settings.noise, rng).split())
