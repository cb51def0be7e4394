"""Change a saved index: add, replace and remove documents, so that it is as it was before or after, at any moment.

A change writes one new segment (`runtime/living/segment_change.py`), an array that says which documents count, and
last, by one rename, `index.json`. Files that no longer count are removed after that. A killed change leaves files that
`index.json` does not name; the next one removes them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..documents.document import Document, Documents
from ..encoder import Encoder
from ..errors import InputError
from ..files import only_writer, remove_entry
from ..integrity.listed_files import walk_files
from ..progress import NoProgress, Progress
from ..search.bm25 import FOLDER as BM25_FOLDER
from ..search.bm25 import load_library
from ..search.digests import ID, digests_of, find
from ..search.index import INDEX_NAME, SEGMENTS, WHOLE_DOCUMENTS, DocumentIndex, is_leftover
from .plan import Plan, plan_add, plan_remove, plan_sync
from .segment_change import SegmentChange

MakePlan = Callable[[np.ndarray, np.ndarray], Plan]


@dataclass(frozen=True)
class Changes:
    """What a change did."""

    added: tuple[str, ...]  # ids of documents
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    documents: int  # of the index afterwards
    passages: int
    encoded: int  # documents whose content was new
    copied: int  # passages that were written again, without being encoded
    segments: int


def sync_index(encoder: Encoder, folder: Path, corpus: Documents, progress: Progress | None = None) -> Changes:
    """Make the index in `folder` one of the documents of `corpus`; what did not change is not encoded.

    Searching goes on meanwhile. Afterwards searches give what they would give in an index that was made anew.
    Raises `InputError` when the index cannot follow (made with another model, of the teacher's vectors, or by an older
    pocketrank), when no document would be left, or when another process is changing it.
    """
    return _change(encoder, folder, corpus, plan_sync, progress)


def add_documents(encoder: Encoder, folder: Path, corpus: Documents, progress: Progress | None = None) -> Changes:
    """Add the documents of `corpus` to the index in `folder`; each takes the place of the one that has its id.

    Raises what `sync_index` raises.
    """
    return _change(encoder, folder, corpus, plan_add, progress)


def remove_documents(encoder: Encoder, folder: Path, corpus: Iterable[Document]) -> Changes:
    """Remove the documents from the index in `folder` that have the ids of those in `corpus`.

    Raises what `sync_index` raises.
    """
    ids = digests_of(corpus)[:, ID]
    return _change(encoder, folder, [], lambda old, _: plan_remove(old, ids), None)


def _change(
    encoder: Encoder, folder: Path, corpus: Documents, make_plan: MakePlan, progress: Progress | None
) -> Changes:
    with only_writer(folder):
        index = DocumentIndex.open(folder)
        _check(index, encoder)
        _remove_unnamed(index)
        digests = digests_of(corpus)
        plan = make_plan(index.digests(), digests)
        if not len(plan.live):
            raise InputError(f"no document would be left in {folder}; remove the folder instead")
        if plan.changes_nothing:
            return Changes((), (), (), len(index), index.manifest.count, 0, 0, len(index.segments))
        change = SegmentChange(index, encoder, plan, corpus, digests)
        copied = change.write(progress or NoProgress())
        after = DocumentIndex.open(folder)
        _remove_unnamed(after)
    return _report(index, after, plan, len(change.new), copied)


def _check(index: DocumentIndex, encoder: Encoder) -> None:
    index.check_encoder(encoder)
    if index.manifest.schema_version == WHOLE_DOCUMENTS:
        raise InputError(f"{index.folder} does not say which documents changed; make it again with `pocketrank index`")
    if index.manifest.documents_by == "teacher":
        raise InputError(
            f"{index.folder} has the teacher's vectors, which a bundle cannot make; "
            "make it again with `pocketrank index --vectors-from`"
        )
    if index.manifest.bm25:
        load_library()


def _remove_unnamed(index: DocumentIndex) -> None:
    """Remove what earlier changes left, finished ones or killed ones; other files are left alone."""
    named = {INDEX_NAME, *index.manifest.parts()}
    present, _ = walk_files(index.folder)
    for name in sorted(present - named):
        if is_leftover(name):
            remove_entry(index.folder / name)
    kept = {entry.folder for entry in index.manifest.segment_list()}
    segments, words = index.folder / SEGMENTS, index.folder / BM25_FOLDER
    for path in segments.iterdir() if segments.is_dir() else ():
        if f"{SEGMENTS}/{path.name}" not in kept:
            remove_entry(path)
    for path in (segments, words):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _report(before: DocumentIndex, after: DocumentIndex, plan: Plan, encoded: int, copied: int) -> Changes:
    old_ids, new_ids = before.digests()[:, ID], after.digests()[:, ID]
    written = np.flatnonzero(plan.live < 0)
    known = find(new_ids[written], old_ids) >= 0
    removed = plan.gone[find(old_ids[plan.gone], new_ids) < 0]
    return Changes(
        added=_ids(after, written[~known]),
        changed=_ids(after, written[known]),
        removed=_ids(before, removed),
        documents=len(after),
        passages=after.manifest.count,
        encoded=encoded,
        copied=copied,
        segments=len(after.segments),
    )


def _ids(index: DocumentIndex, documents: np.ndarray) -> tuple[str, ...]:
    rows = np.searchsorted(index.document_of, documents)
    return tuple(index.record(row)["id"] for row in rows.tolist())
