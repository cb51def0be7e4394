"""The stage `queries`: the texts that the student is trained on.

The student has to agree with the teacher where real queries will fall, so that documents alone are not enough
(Kim et al., "EmbedDistill", 2023, train on generated queries for the same reason). From every document come its
title, sentences, crops (runs of words) and keyword queries (its words of largest tf-idf weight); the training
queries and the lines of files of texts come in as they are. Held-out queries, and whatever nearly repeats one, never
enter.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..runtime.errors import InputError
from ..runtime.files import read_json_lines, read_text, write_bytes, write_json
from .beir import RetrievalSet, json_lines, read_retrieval_set
from .near_duplicates import ShingleIndex, character_shingles, normalise
from .noise import noisy, without_punctuation
from .settings import QueriesSettings
from .stage import StageContext

ROLES = ("query", "document")
SAME_QUERY = 0.6  # Jaccard similarity of runs of four characters
CROP_WORDS = (3, 20)
SENTENCE_WORDS = range(3, 41)
KEYWORD_COUNT = (2, 5)
PHRASE_WORDS = (1, 3)
COMMON_SHARE = 0.05  # of the documents: what more of them hold says little about one
FRAMED_SENTENCE_WORDS = 12  # at most, cut behind: people ask in short sentences
MAX_TEXT_CHARACTERS = 2000  # of a generated text; documents stay as they are

FRAME_PARTS = ("title", "sentence", "phrase", "name")
_REAL = ("query", "file")  # texts that people wrote are taken as they are

Item = TypeVar("Item")

_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")
_CODE = re.compile(r"[_={}\[\]]|\w\(|->")
_CALLED = re.compile(r"(?<!\w)([A-Za-z_]\w+)\(")  # names of functions and classes where they are defined or called
_WORD_IN_NAME = re.compile(r"_+|(?<=[a-z])(?=[A-Z])")
_KEYWORD = re.compile(r"[^\W\d_][^\W_]+")


@dataclass(frozen=True)
class TrainingText:
    """One text to train on: `role` says on which side of the search it stands, `form` how it was made.

    `target` is the text whose teacher vector the student is to give, where that is not the text's own.
    """

    text: str
    role: str
    form: str
    target: str = ""

    def record(self) -> dict[str, str]:
        """Return the line of `training.jsonl`; the target is left out where there is none."""
        line = {"text": self.text, "role": self.role, "form": self.form}
        return line | {"target": self.target} if self.target else line


def run_queries(context: StageContext) -> None:
    """Write `training.jsonl` and `report.json`: counts by form, and what was left out because it repeats a test."""
    retrieval_set = read_retrieval_set(context.inputs["corpus"])
    texts, report = training_texts(retrieval_set, context.recipe.queries, context.recipe.seed)
    write_bytes(context.output / "training.jsonl", json_lines(text.record() for text in texts))
    write_json(context.output / "report.json", report)
    counts = ", ".join(f"{count:,} {form}" for form, count in report["texts"].items())
    context.progress.note(f"  {len(texts):,} training texts: {counts}")


def read_training_texts(path: Path) -> list[TrainingText]:
    """Read `training.jsonl`; raise `InputError` for a line without text, role and form."""
    texts = []
    for number, record in read_json_lines(path):
        if set(record) - {"target"} != {"text", "role", "form"} or not all(
            isinstance(value, str) for value in record.values()
        ):
            raise InputError(f"{path}, line {number}: text, role and form are needed; run the stage 'queries' again")
        texts.append(TrainingText(**record))
    return texts


def training_texts(
    retrieval_set: RetrievalSet, settings: QueriesSettings, seed: int
) -> tuple[list[TrainingText], dict[str, Any]]:
    """Return the training texts, documents first, and the report on them.

    Every form of `settings.forms` gets an equal share of what `settings.max_texts` leaves beside the documents; what
    one form cannot fill goes to the others. Documents take half of the cap at most. The same set,
    settings and seed give the same texts in the same order.
    """
    held_out = HeldOut(retrieval_set.split_queries("test").values())
    documents = [TrainingText(text, "document", "document") for text in dict.fromkeys(retrieval_set.documents.values())]
    cap = settings.max_texts // 2 if settings.forms else settings.max_texts
    documents = _sample(documents, cap, random.Random(f"{seed} document"))
    makers: dict[str, Callable[[random.Random], Iterator[str]]] = {
        "query": lambda _: iter(retrieval_set.split_queries("train").values()),
        "file": lambda _: _lines(settings.files),
        "title": lambda _: (title for title in retrieval_set.titles.values() if title),
        "sentence": lambda draw: _sentences(retrieval_set, settings.per_document, draw),
        "crop": lambda draw: _crops(retrieval_set, settings.per_document, draw),
        "keywords": lambda draw: _keywords(retrieval_set, settings.per_document, draw),
        "framed": lambda draw: _framed(retrieval_set, settings, draw),
    }
    seen = {text.text for text in documents}
    candidates: dict[str, list[TrainingText]] = {}
    dropped: Counter[str] = Counter()
    further = {"file": settings.files, "framed": settings.frames}
    for form in (*settings.forms, *(form for form, given in further.items() if given)):
        draw = random.Random(f"{seed} {form}")
        candidates[form] = []
        for clean in makers[form](draw):
            whole = clean if form in _REAL else " ".join(clean[:MAX_TEXT_CHARACTERS].split())
            text = whole if form in _REAL else _disturbed(whole, settings, draw)
            if not text or text in seen:
                continue
            seen.add(text)
            if held_out.repeats(text) or (text != clean and held_out.repeats(clean)):
                dropped[form] += 1
            else:
                target = whole if text != whole and settings.noise_target == "clean" else ""
                candidates[form].append(TrainingText(text, "query", form, target))
    shares = fair_shares({form: len(texts) for form, texts in candidates.items()}, settings.max_texts - len(documents))
    chosen = [
        text
        for form, texts in candidates.items()
        for text in _sample(texts, shares[form], random.Random(f"{seed} share {form}"))
    ]
    report = {
        "texts": {"document": len(documents), **shares},
        "generated": {form: len(texts) for form, texts in candidates.items()},
        "dropped_as_held_out": {form: dropped[form] for form in candidates},
        "held_out_queries": len(held_out),
    }
    return documents + chosen, report


class HeldOut:
    """The held-out queries, to be asked whether a text repeats one of them.

    A text repeats a query when the two are near-duplicates (Jaccard similarity of their runs of four characters) or
    when it contains the query word for word.
    """

    def __init__(self, queries: Any) -> None:
        """Index `queries`, an iterable of texts."""
        texts = list(queries)
        self._index = ShingleIndex([character_shingles(text) for text in texts], SAME_QUERY)
        self._by_start: dict[str, list[str]] = {}  # first three words -> whole normalised queries
        for text in texts:
            words = normalise(text).split()
            if words:
                self._by_start.setdefault(" ".join(words[:3]), []).append(" ".join(words))
        self._count = len(texts)

    def __len__(self) -> int:
        """Return the number of held-out queries."""
        return self._count

    def repeats(self, text: str) -> bool:
        """Tell whether `text` repeats a held-out query."""
        words = normalise(text).split()
        for start in range(len(words)):
            for length in (1, 2, 3):  # queries of fewer than three words start with all they have
                for query in self._by_start.get(" ".join(words[start : start + length]), ()):
                    size = query.count(" ") + 1
                    # One or two words are in too many texts to be given away by containing them.
                    if " ".join(words[start : start + size]) == query and (size >= 3 or size == len(words)):
                        return True
        return bool(self._index.matches(character_shingles(text)))


def fair_shares(available: dict[str, int], room: int) -> dict[str, int]:
    """Share `room` equally; what one cannot fill goes to the others, the first ones getting the odd texts."""
    shares = dict.fromkeys(available, 0)
    room = max(room, 0)
    open_forms = [form for form, count in available.items() if count]
    while room and open_forms:
        each, odd = divmod(room, len(open_forms))
        for position, form in enumerate(open_forms):
            given = min(available[form] - shares[form], each + (position < odd))
            shares[form] += given
            room -= given
        open_forms = [form for form in open_forms if shares[form] < available[form]]
    return shares


def _lines(files: Sequence[str]) -> Iterator[str]:
    for name in files:
        yield from filter(None, (" ".join(line.split()) for line in read_text(Path(name)).splitlines()))


def _sentences(retrieval_set: RetrievalSet, count: int, draw: random.Random) -> Iterator[str]:
    for document in retrieval_set.documents:
        sentences = [part.strip() for part in _SENTENCE.split(retrieval_set.body(document))]
        usable = [sentence for sentence in sentences if len(sentence.split()) in SENTENCE_WORDS]
        yield from _sample(usable, count, draw)


def _crops(retrieval_set: RetrievalSet, count: int, draw: random.Random) -> Iterator[str]:
    for document in retrieval_set.documents:
        words = retrieval_set.body(document).split()
        for _ in range(count):
            length = draw.randint(*CROP_WORDS)
            start = draw.randint(0, max(0, len(words) - length))
            if len(words) >= CROP_WORDS[0]:
                yield " ".join(words[start : start + length])


def _keywords(retrieval_set: RetrievalSet, count: int, draw: random.Random) -> Iterator[str]:
    for best in _best_words(_bags(retrieval_set)).values():
        for _ in range(count):
            chosen = _sample(best, draw.randint(*KEYWORD_COUNT), draw)
            draw.shuffle(chosen)
            if len(chosen) >= KEYWORD_COUNT[0]:
                yield " ".join(chosen)


def _bags(retrieval_set: RetrievalSet) -> dict[str, Counter[str]]:
    return {name: Counter(_KEYWORD.findall(text.lower())) for name, text in retrieval_set.documents.items()}


def _best_words(bags: Mapping[str, Counter[str]]) -> dict[str, list[str]]:
    """Return the ten words of each document that tell most about it, the best first."""
    frequency = Counter(word for bag in bags.values() for word in bag)
    found = {}
    for name, bag in bags.items():
        # tf-idf with a dampened term frequency (Salton and Buckley 1988)
        weights = {
            word: (1 + math.log(times)) * math.log(len(bags) / frequency[word] + 1) for word, times in bag.items()
        }
        found[name] = sorted(weights, key=lambda word: (-weights[word], word))[: 2 * KEYWORD_COUNT[1]]
    return found


def _framed(retrieval_set: RetrievalSet, settings: QueriesSettings, draw: random.Random) -> Iterator[str]:
    """Put parts of every document into the recipe's frames, each frame with its own kind of part."""
    frames = [(frame, _placeholder(frame)) for frame in settings.frames]
    bags = _bags(retrieval_set)
    frequency = Counter(word for bag in bags.values() for word in bag)
    common = {word for word, times in frequency.items() if times > COMMON_SHARE * len(bags)}
    for document, best in _best_words(bags).items():
        body = retrieval_set.body(document)
        parts = {
            "title": [retrieval_set.titles.get(document, "")],
            "name": _spoken_names(body),
            "sentence": _short_sentences(body),
            "phrase": _phrases(body, best[: KEYWORD_COUNT[1]], common, draw),
        }
        for frame, kind in _sample(frames, settings.per_document, draw):
            part = draw.choice(parts[kind]) if parts[kind] else ""
            if part:
                yield frame.replace(f"{{{kind}}}", part.lower() if kind == "sentence" else part)


def _short_sentences(body: str) -> list[str]:
    """Return the beginnings of a text's sentences; of a text with marks of code in it those without, if any."""
    sentences = [part for part in _SENTENCE.split(body) if len(part.split()) > 2]
    in_words = [part for part in sentences if not _CODE.search(part)]
    cleaned = [without_punctuation(part).split() for part in in_words or sentences]
    return [" ".join(words[:FRAMED_SENTENCE_WORDS]) for words in cleaned if len(words) > 2]


def _spoken_names(body: str) -> list[str]:
    """Return the names in code as people say them: `create_path(` and `createPath(` as "create path".

    Names of one word say too little. The first of the others, most often the function's own, stands twice.
    """
    names = [" ".join(_WORD_IN_NAME.sub(" ", name).lower().split()) for name in _CALLED.findall(body)]
    several = [name for name in names if " " in name]
    return several[:1] + several


def _placeholder(frame: str) -> str:
    found = re.findall(r"{(\w*)}", frame)
    if len(found) != 1 or found[0] not in FRAME_PARTS:
        raise InputError(
            f"queries.frames: {frame!r} needs exactly one of {{title}}, {{sentence}}, {{phrase}}, {{name}}; mend it"
        )
    return found[0]


def _phrases(body: str, best: Sequence[str], common: set[str], draw: random.Random) -> list[str]:
    """Return runs of a few words as they stand in a text, around its best words, without common words at the ends."""
    words = re.findall(r"\w[\w'-]*", body)
    places = [place for place, word in enumerate(words) if word.lower() in best]
    runs = []
    for place in _sample(places, 4, draw):
        length = draw.randint(*PHRASE_WORDS)
        start = max(0, place - draw.randrange(length))
        run = words[start : start + length]
        while run and run[0].lower() in common:
            run = run[1:]
        while run and run[-1].lower() in common:
            run = run[:-1]
        if run:
            runs.append(" ".join(run))
    return runs


def _disturbed(text: str, settings: QueriesSettings, draw: random.Random) -> str:
    if settings.term_dropout:
        words = text.split()
        kept = [word for word in words if draw.random() >= settings.term_dropout]
        text = " ".join(kept or words)
    return " ".join(noisy(text, settings.noise, draw).split())


def _sample(items: Sequence[Item], count: int, draw: random.Random) -> list[Item]:
    """Return at most `count` items, drawn without replacement, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[position] for position in sorted(draw.sample(range(len(items)), max(count, 0)))]
