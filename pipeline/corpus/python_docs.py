"""A corpus made on the spot from the documentation of the running Python installation.

Read are the standard library and a named list of installed packages (their source is parsed, never imported), the
built-in types and functions, and the language reference that `help()` shows. A summary line is a query, the qualified
name is the title and the rest of the docstring is the document, so that a query is answered by text that does not
repeat it.

The same installation gives the same corpus, byte for byte: whatever the order of the file system, the hash seed of
the interpreter or the locale.
"""

import builtins
import importlib.util
import inspect
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError, UnavailableError
from ...runtime.progress import Progress
from ..code_version import library_version
from ..retrieval.dataset import RetrievalSet
from ..retrieval.near_duplicates import first_of_each, normalise
from ..settings import CorpusSettings
from .docstrings import MIN_BODY_WORDS, Passage, clean_line, cut, make_passage, module_passages, source_files
from .sampling import hash_order, hold_out

SAME_DOCUMENT = 0.6  # Jaccard similarity of word triples
MAX_SHARED_SUMMARY = 3  # a summary of more documents than this ("Fit the model.") is no query


def read_pydocs(settings: CorpusSettings, progress: Progress) -> tuple[RetrievalSet, dict[str, Any]]:
    """Return the corpus and what its manifest says about where it came from.

    Raises `UnavailableError` for a package of the list that is not installed.
    """
    every = _read_all(settings.packages, progress)
    passages = _without_repetitions(every)
    if settings.max_documents and len(passages) > settings.max_documents:
        chosen = sorted(passages, key=lambda passage: hash_order(passage.identifier))[: settings.max_documents]
        passages = sorted(chosen, key=lambda passage: passage.identifier)
    if not passages:
        raise InputError("the installed packages hold no documentation; name others in corpus.packages")
    queries, answers = _queries(passages)
    # A held-out query is in no document word for word.
    everything = "\n".join(f" {normalise(f'{passage.title} {passage.body}')} " for passage in passages)
    qrels = hold_out(answers, queries, settings, lambda text: f" {normalise(text)} " not in everything)
    retrieval_set = RetrievalSet(
        documents={passage.identifier: f"{passage.title} {passage.body}" for passage in passages},
        titles={passage.identifier: passage.title for passage in passages},
        queries=queries,
        qrels=qrels,
    )
    origin = Counter(_origin(passage.identifier, settings.packages) for passage in passages)
    source = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": {name: library_version(name) for name in sorted(set(settings.packages))},
        "passages_found": len(every),
        "documents_by_package": dict(sorted(origin.items())),
    }
    return retrieval_set, source


def _read_all(packages: Sequence[str], progress: Progress) -> list[Passage]:
    roots = [(Path(sysconfig.get_paths()["stdlib"]), "")]
    roots += [(_package_folder(name), name) for name in sorted(set(packages))]
    files = [(root, name, path) for root, name in roots for path in source_files(root)]
    passages: dict[str, Passage] = {}
    with progress.task("reading documentation", len(files), "files") as task:
        for root, name, path in files:
            for passage in module_passages(path, _module_name(root, name, path)):
                passages.setdefault(passage.identifier, passage)
            task.advance()
    for passage in (*_builtin_passages(), *_topic_passages()):
        passages.setdefault(passage.identifier, passage)
    return sorted(passages.values(), key=lambda passage: passage.identifier)


def check_packages(packages: Sequence[str]) -> None:
    """Raise `UnavailableError` for a package that is not installed."""
    for name in packages:
        _package_folder(name)


def _package_folder(name: str) -> Path:
    # Looking for a top-level name imports nothing.
    specification = importlib.util.find_spec(name) if name.isidentifier() else None
    locations = list(specification.submodule_search_locations or ()) if specification else []
    if not locations:
        raise UnavailableError(
            f"the package {name!r} of corpus.packages is not installed; install it or take it off the list"
        )
    return Path(locations[0])


def _module_name(root: Path, package: str, path: Path) -> str:
    parts = [*path.relative_to(root).parent.parts, path.stem]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join([package, *parts] if package else parts) or package


def _origin(identifier: str, packages: Sequence[str]) -> str:
    if identifier.startswith("topic:"):
        return "language reference"
    first = identifier.split(".")[0]
    return first if first in packages else "standard library"


def _builtin_passages() -> Iterator[Passage]:
    for name, value in sorted(vars(builtins).items()):
        if name.startswith("_") or not callable(value):
            continue
        members = sorted(vars(value).items()) if inspect.isclass(value) else []
        documented = [(name, value), *((f"{name}.{key}", member) for key, member in members if key[0] != "_")]
        for title, item in documented:
            docstring = getattr(item, "__doc__", None)
            passage = make_passage(f"builtins.{title}", docstring, title) if isinstance(docstring, str) else None
            if passage:
                yield passage


def _topic_passages() -> Iterator[Passage]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions leave it out
        return
    for name, text in sorted(topics.items()):
        paragraphs = [clean_line(re.sub(r"[*=\-~^]{4,}", " ", part)) for part in re.split(r"\n\s*\n", text.strip())]
        title, sections = paragraphs[0], [part for part in paragraphs[1:] if len(part.split()) >= MIN_BODY_WORDS]
        body = cut("\n".join(sections))
        if len(body.split()) >= MIN_BODY_WORDS and 2 <= len(title.split()) <= 12:
            # The heading is the query; the name under which `help()` knows the topic is the title.
            yield Passage(f"topic:{name}", f"help({name!r})", f"Python language: {title}", body)


def _without_repetitions(passages: list[Passage]) -> list[Passage]:
    # Public and short names first, so that of two copies the one stays that a user would look for.
    order = sorted(passages, key=lambda passage: (passage.identifier.count("."), passage.identifier))
    kept = first_of_each([passage.body for passage in order], SAME_DOCUMENT)
    return sorted((order[position] for position in kept), key=lambda passage: passage.identifier)


def _queries(passages: Sequence[Passage]) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    documents: dict[str, list[Passage]] = {}
    for passage in passages:
        documents.setdefault(normalise(passage.summary), []).append(passage)
    shared = {text: group for text, group in documents.items() if text and len(group) <= MAX_SHARED_SUMMARY}
    groups = sorted(shared.values(), key=lambda group: group[0].identifier)
    queries = {f"q:{group[0].identifier}": group[0].summary for group in groups}
    answers = {f"q:{group[0].identifier}": {passage.identifier: 1 for passage in group} for group in groups}
    return queries, answers
