"""Queries generated from documents: sentences, crops, keywords, filled templates."""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ...runtime.documents.texts import read_texts
from ...runtime.errors import InputError
from ..retrieval import budoux_words, segmentation
from ..retrieval.dataset import RetrievalSet
from ..retrieval.segmentation import SENTENCE_END, is_unspaced, pieces
from ..settings import QueriesSettings
from .typing_noise import without_punctuation

CROP_WORDS = (3, 20)
SENTENCE_WORDS = range(3, 41)
KEYWORD_COUNT = (2, 5)
PHRASE_WORDS = (1, 3)
COMMON_SHARE = 0.05  # of the documents: what more of them hold says little about one
TEMPLATED_SENTENCE_WORDS = 12  # at most, cut behind: people ask in short sentences

TEMPLATE_PARTS = ("title", "sentence", "phrase", "name")

Item = TypeVar("Item")


class FindWords(NamedTuple):
    """How words are found; what each does is said in `segmentation.py`."""

    pieces: Callable[[str], list[str]]
    keywords: Callable[[str], list[str]]


FINDERS = {
    "pieces": FindWords(pieces, segmentation.keyword_candidates),
    "budoux": FindWords(budoux_words.pieces, budoux_words.keyword_candidates),
}
_PIECES = FINDERS["pieces"]

_SENTENCE = re.compile(rf"(?<=[.!?;:])\s+|{SENTENCE_END}|\n+")
_CODE = re.compile(r"[_={}\[\]]|\w\(|->")
_CALLED = re.compile(r"(?<!\w)([A-Za-z_]\w+)\(")  # names of functions and classes where they are defined or called
_WORD_IN_NAME = re.compile(r"_+|(?<=[a-z])(?=[A-Z])")


def lines(files: Sequence[str]) -> Iterator[str]:
    """Yield the texts of files, one a line or one a record, in order."""
    for name in files:
        yield from filter(None, (" ".join(text.split()) for text in read_texts(Path(name))))


def sentences(retrieval_set: RetrievalSet, count: int, rng: random.Random, find: FindWords = _PIECES) -> Iterator[str]:
    """Yield at most `count` sentences of each document, of 3 to 40 words."""
    for document in retrieval_set.documents:
        sentences = [part.strip() for part in _SENTENCE.split(retrieval_set.body(document))]
        usable = [sentence for sentence in sentences if len(find.pieces(sentence)) in SENTENCE_WORDS]
        yield from sample(usable, count, rng)


def crops(retrieval_set: RetrievalSet, count: int, rng: random.Random, find: FindWords = _PIECES) -> Iterator[str]:
    """Yield `count` runs of 3 to 20 words of each document."""
    for document in retrieval_set.documents:
        words = find.pieces(retrieval_set.body(document))
        for _ in range(count):
            length = rng.randint(*CROP_WORDS)
            start = rng.randint(0, max(0, len(words) - length))
            if len(words) >= CROP_WORDS[0]:
                yield "".join(words[start : start + length]).strip()


def keywords(retrieval_set: RetrievalSet, count: int, rng: random.Random, find: FindWords = _PIECES) -> Iterator[str]:
    """Yield for each document at most `count` queries of 2 to 5 of its words of largest tf-idf weight."""
    for best in _best_words(_bags(retrieval_set, find)).values():
        for _ in range(count):
            chosen = sample(best, rng.randint(*KEYWORD_COUNT), rng)
            rng.shuffle(chosen)
            if len(chosen) >= KEYWORD_COUNT[0]:
                yield " ".join(chosen)


def _bags(retrieval_set: RetrievalSet, find: FindWords) -> dict[str, Counter[str]]:
    return {name: Counter(find.keywords(text)) for name, text in retrieval_set.documents.items()}


def _best_words(bags: Mapping[str, Counter[str]]) -> dict[str, list[str]]:
    """Return the ten words of each document that tell most about it, the best first."""
    frequency = Counter(word for bag in bags.values() for word in bag)
    best = {}
    for name, bag in bags.items():
        # tf-idf with a dampened term frequency (Salton and Buckley 1988)
        weights = {
            word: (1 + math.log(times)) * math.log(len(bags) / frequency[word] + 1) for word, times in bag.items()
        }
        best[name] = sorted(weights, key=lambda word: (-weights[word], word))[: 2 * KEYWORD_COUNT[1]]
    return best


def templated(retrieval_set: RetrievalSet, settings: QueriesSettings, rng: random.Random) -> Iterator[str]:
    """Put parts of every document into the recipe's templates, each template with its own kind of part."""
    templates = [(template, placeholder(template)) for template in settings.templates]
    find = FINDERS[settings.words]
    bags = _bags(retrieval_set, find)
    frequency = Counter(word for bag in bags.values() for word in bag)
    common = {word for word, times in frequency.items() if times > COMMON_SHARE * len(bags)}
    for document, best in _best_words(bags).items():
        body = retrieval_set.body(document)
        parts = {
            "title": [retrieval_set.titles.get(document, "")],
            "name": _spoken_names(body),
            "sentence": _short_sentences(body, find),
            "phrase": _phrases(body, best[: KEYWORD_COUNT[1]], common, rng),
        }
        for template, kind in sample(templates, settings.per_document, rng):
            part = rng.choice(parts[kind]) if parts[kind] else ""
            if part:
                yield template.replace(f"{{{kind}}}", part.lower() if kind == "sentence" else part)


def _short_sentences(body: str, find: FindWords) -> list[str]:
    """Return the beginnings of a text's sentences; of a text with marks of code in it those without, if any."""
    sentences = [part for part in _SENTENCE.split(body) if len(find.pieces(part)) > 2]
    in_words = [part for part in sentences if not _CODE.search(part)]
    cleaned = [find.pieces(without_punctuation(part)) for part in in_words or sentences]
    return ["".join(words[:TEMPLATED_SENTENCE_WORDS]).strip() for words in cleaned if len(words) > 2]


def _spoken_names(body: str) -> list[str]:
    """Return the names in code as people say them: `create_path(` and `createPath(` as "create path".

    Names of one word say too little. The first of the others, most often the function's own, comes twice.
    """
    names = [" ".join(_WORD_IN_NAME.sub(" ", name).lower().split()) for name in _CALLED.findall(body)]
    several = [name for name in names if " " in name]
    return several[:1] + several


def placeholder(template: str) -> str:
    """Return the part of a document that a template asks for; raise `InputError` unless there is exactly one."""
    names = re.findall(r"{(\w*)}", template)
    if len(names) != 1 or names[0] not in TEMPLATE_PARTS:
        raise InputError(
            f"queries.templates: {template!r} needs exactly one of {{title}}, {{sentence}}, {{phrase}}, {{name}}"
            "; fix it"
        )
    return names[0]


def _phrases(body: str, best: Sequence[str], common: set[str], rng: random.Random) -> list[str]:
    """Return runs of a few words of a text, around its best words, without common words at the ends."""
    if is_unspaced(body):
        return list(best)
    words = re.findall(r"\w[\w'-]*", body)
    positions = [position for position, word in enumerate(words) if word.lower() in best]
    runs = []
    for position in sample(positions, 4, rng):
        length = rng.randint(*PHRASE_WORDS)
        start = max(0, position - rng.randrange(length))
        run = words[start : start + length]
        while run and run[0].lower() in common:
            run = run[1:]
        while run and run[-1].lower() in common:
            run = run[:-1]
        if run:
            runs.append(" ".join(run))
    return runs


def sample(items: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """Return at most `count` items, drawn without replacement, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[position] for position in sorted(rng.sample(range(len(items)), max(count, 0)))]
