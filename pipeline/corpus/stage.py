"""The stage `corpus`: bring documents, queries and judgements of any source into one folder in BEIR layout."""

from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import write_json
from ...runtime.progress import NoProgress, Progress
from ..precomputed.coverage import Coverage
from ..precomputed.lookup import check_keys, precomputed_vectors, vector_files
from ..retrieval.dataset import RetrievalSet, check_folder, read_retrieval_set, write_retrieval_set
from ..settings import CorpusSettings, Recipe
from ..stage import StageContext
from .hub import check_hub, read_hub_set
from .python_docs import check_packages, read_pydocs
from .sampling import hash_order
from .text_files import check_texts, read_texts

SCHEMA_VERSION = 1


def run_corpus(context: StageContext) -> None:
    """Write `corpus.jsonl`, `queries.jsonl`, `qrels/{train,test}.tsv` and `manifest.json`.

    Without test queries, which is said, all but the ranking quality can be measured. Raises `InputError` for a source
    that cannot be read or holds no document.
    """
    settings = context.recipe.corpus
    whole, source = read_source(settings, context.progress)
    retrieval_set, without_vector = Coverage(context.recipe.teacher, whole, settings).select(whole)
    source |= {"without_vector": without_vector} if without_vector else {}
    for remark in (*retrieval_set.remarks, *without_vector):
        context.progress.note(f"  {remark}")
    content = write_retrieval_set(context.output, retrieval_set)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "source": settings.source,
        **source,
        "documents": len(retrieval_set.documents),
        "queries": {split: len(judged) for split, judged in retrieval_set.qrels.items()},
        "sha256": content,
    }
    write_json(context.output / "manifest.json", manifest)
    context.progress.note(
        f"  {len(retrieval_set.documents):,} documents, {len(retrieval_set.qrels['train']):,} training and "
        f"{len(retrieval_set.qrels['test']):,} test queries"
    )
    if not retrieval_set.qrels["test"]:
        advice = f"add queries.jsonl and qrels/{settings.test_split}.tsv"
        if settings.source in ("pydocs", "texts"):
            share = f"{settings.test_fraction:g} of {len(retrieval_set.queries):,} possible queries"
            advice = f"held out were {share}; add texts, or raise corpus.test_fraction"
        context.progress.note(f"  without test queries, ranking quality will not be measured ({advice})")


def read_source(settings: CorpusSettings, progress: Progress) -> tuple[RetrievalSet, dict[str, Any]]:
    """Return the part of the source that a run uses, and what the manifest says of it."""
    if settings.source == "pydocs":
        return read_pydocs(settings, progress)
    if settings.source == "texts":
        return read_texts(settings)
    whole, source = _read_judged(settings)
    retrieval_set = select(whole, settings)
    return retrieval_set, source | {"unused_queries": len(whole.queries) - len(retrieval_set.queries)}


def check_vectors(recipe: Recipe) -> str:
    """Check before a run that files of vectors are named where, and only where, they are the teacher."""
    teacher = recipe.teacher
    check_keys(teacher.model, teacher.vectors, "teacher")
    for number, member in enumerate(teacher.ensemble):
        check_keys(member.model, member.vectors, f"teacher.ensemble[{number}]")
    files = [str(path) for vectors in precomputed_vectors(teacher) for _, path in vector_files(vectors)]
    return ", ".join(files) or "none are given"


def check_coverage(recipe: Recipe) -> str:
    """Open files of vectors and count which texts of the corpus they cover."""
    if not precomputed_vectors(recipe.teacher):
        return "no vectors are given"
    if recipe.corpus.source == "hub":
        return "known when the corpus is fetched"
    whole, _ = read_source(recipe.corpus, NoProgress())
    coverage = Coverage(recipe.teacher, whole, recipe.corpus)
    kept, _ = coverage.select(whole)
    return (
        f"{len(kept.documents):,} of {len(whole.documents):,} documents and {len(kept.queries):,} of "
        f"{len(whole.queries):,} queries have vectors, and {len(coverage.texts()):,} further texts"
    )


def check_corpus(recipe: Recipe) -> str:
    """Check before a run that the corpus can be read: packages, files of a known kind, a pinned revision."""
    settings = recipe.corpus
    if settings.source == "pydocs":
        check_packages(settings.packages)
        return f"documentation of Python and {len(set(settings.packages))} packages"
    if settings.source == "texts":
        return check_texts(settings)
    if settings.source == "hub":
        check_hub(settings)
        return f"{settings.path} at {settings.revision[:12]}, not fetched yet"
    if not settings.path or not Path(settings.path).exists():
        raise InputError(f"corpus.path = {settings.path!r} does not exist; name a folder in BEIR layout")
    return check_folder(Path(settings.path), settings.test_split, judged=_must_be_judged(settings))


def _read_judged(settings: CorpusSettings) -> tuple[RetrievalSet, dict[str, Any]]:
    if settings.source == "hub":
        return read_hub_set(settings)
    splits = ("train", settings.test_split)
    return read_retrieval_set(Path(settings.path), splits, judged=_must_be_judged(settings)), {}


def _must_be_judged(settings: CorpusSettings) -> bool:
    """Tell whether the recipe names held-out judgements itself; a name that is not there is then a mistake."""
    return settings.test_split != CorpusSettings.test_split


def _held_out(whole: RetrievalSet, settings: CorpusSettings) -> dict[str, dict[str, int]]:
    """Return the held-out judgements, possibly none; refuse a file whose judgements fit nothing in the set."""
    left_out = whole.queries and whole.remarks and settings.test_split in whole.qrels
    if left_out or _must_be_judged(settings):
        return whole.judgements(settings.test_split)
    return whole.qrels.get(settings.test_split, {})


def select(whole: RetrievalSet, settings: CorpusSettings) -> RetrievalSet:
    """Return the part of a judged set that a run uses.

    Held out is `settings.test_split`; `train` is what its own file says, without the held-out queries. Queries of no
    or of another split are left out: they may be somebody's test. With `max_documents`, documents that a held-out
    query needs stay first, then those that a training query needs, then the others, each in an order by hash.
    """
    test = _held_out(whole, settings)
    train = {} if settings.test_split == "train" else whole.qrels.get("train", {})
    train = {query: grades for query, grades in train.items() if query not in test}
    kept = set(whole.documents)
    if 0 < settings.max_documents < len(kept):
        needed = [{name for grades in split.values() for name in grades} for split in (test, train)]
        order = sorted(kept, key=lambda name: (name not in needed[0], name not in needed[1], hash_order(name)))
        kept = set(order[: settings.max_documents])
    qrels = {}
    for split, judged in (("train", train), ("test", test)):
        answered = {
            query: {name: grade for name, grade in judged[query].items() if name in kept}
            for query in whole.queries
            if query in judged
        }
        qrels[split] = {
            query: grades for query, grades in answered.items() if any(grade > 0 for grade in grades.values())
        }
    return RetrievalSet(
        documents={name: text for name, text in whole.documents.items() if name in kept},
        titles={name: title for name, title in whole.titles.items() if name in kept},
        queries={name: text for name, text in whole.queries.items() if any(name in qrels[split] for split in qrels)},
        qrels=qrels,
        remarks=whole.remarks,
    )
