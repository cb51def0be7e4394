"""A retrieval set from the Hugging Face hub, at a pinned revision.

The data set needs the layout that MTEB uses: configurations `corpus` (_id, title, text) and `queries` (_id, text),
and judgements in `default` (query-id, corpus-id, score) with one split each.
"""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...runtime.documents.remarks import Remarks
from ...runtime.errors import InputError, UnavailableError
from ..retrieval.dataset import Judgements, RetrievalSet
from ..settings import CorpusSettings

_COMMIT = re.compile(r"[0-9a-f]{40}")


def check_hub(settings: CorpusSettings) -> None:
    """Raise what `read_hub_set` does for a revision that is no commit, or without the package `datasets`."""
    if not settings.path:
        raise InputError("corpus.path is empty; name a data set of the hub, such as mteb/scifact")
    if not _COMMIT.fullmatch(settings.revision):
        raise InputError(f"corpus.revision = {settings.revision!r} is no commit; give the 40 hexadecimal digits of one")
    if importlib.util.find_spec("datasets") is None:
        raise UnavailableError("the corpus source 'hub' needs the package datasets; pip install datasets")


def read_hub_set(settings: CorpusSettings) -> tuple[RetrievalSet, dict[str, Any]]:
    """Return the set `settings.path` at the commit `settings.revision`, and what its manifest says about it.

    Raises `InputError` unless the revision is a full commit (a branch would change under the recipe) and the data
    set has the layout above, `UnavailableError` when the package `datasets` is not installed or the hub cannot be
    reached. No code of the data set is run.
    """
    check_hub(settings)
    import datasets  # pyright: ignore[reportMissingImports]

    def load(configuration: str) -> Mapping[str, Iterable[Mapping[str, Any]]]:
        try:
            return datasets.load_dataset(settings.path, configuration, revision=settings.revision)
        except ConnectionError as error:
            raise UnavailableError(f"{settings.path}: the hub cannot be reached ({error}); try again online") from None
        except (ValueError, FileNotFoundError) as error:
            raise InputError(
                f"{settings.path}: no configuration {configuration!r} at this revision ({error}); "
                "choose a data set in the layout of MTEB"
            ) from None

    corpus = [row for rows in load("corpus").values() for row in rows]
    titles = {str(row["_id"]): row.get("title") or "" for row in corpus}
    documents = {str(row["_id"]): f"{row.get('title') or ''} {row['text']}".strip() for row in corpus}
    queries = {str(row["_id"]): row["text"] for rows in load("queries").values() for row in rows}
    judgements = Judgements(queries, documents, Remarks())
    for split, rows in load("default").items():
        for row in rows:
            judgements.add(split, str(row["query-id"]), str(row["corpus-id"]), int(row["score"]))
    found = RetrievalSet(documents, titles, queries, judgements.splits, tuple(judgements.remarks))
    return found, {"dataset": settings.path, "revision": settings.revision}
