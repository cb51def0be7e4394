"""The pages of docs/results: one for each question that a reader has, and an index with how to read them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.records import experiments_of
from experiments.results import quality
from experiments.results.ablations import ablations, group, training_minutes
from experiments.results.baselines import all_systems, references
from experiments.results.further import further
from experiments.results.markdown import megabytes, table
from experiments.results.records import HEADLINE, MODES, Results

_TEACHERS = (
    *("balanced-ensembles", "several-teachers"),
    *("cross-encoder-reranking", "cross-encoder", "cross-encoder-lightly"),
)
_ASSIGNED = ("judged-overlap", "general-english", *_TEACHERS)
_OWN_TABLES = ("teacher-dimensions-", "training-minutes")  # not the table of any file with rows


def notes(results: Results) -> Iterator[str]:
    """Yield what failed, and what is worth trying."""
    yield "## What failed\n"
    yield "\n".join(f"- **{note.what}.** {note.result}" for note in results.notes.failed) + "\n"
    yield "## Next\n"
    yield "\n".join(f"- **{note.what}.** {note.why}" for note in results.notes.next) + "\n"


def others(results: Results) -> Iterator[str]:
    """Yield the tables of files that belong to no other page."""
    names = [name for name in results.others if name not in _ASSIGNED and not name.startswith(_OWN_TABLES)]
    yield from further(results, names=names)


@dataclass(frozen=True)
class Page:
    """One page: what it answers, and the sections that it is made of."""

    name: str
    title: str
    question: str
    sections: Sequence[Callable[[Results], Iterator[str]]]


PAGES = (
    Page(
        "quality",
        "Quality",
        "How well do the students rank, at which size, and how sure is that?",
        [
            *(quality.targets, quality.students, quality.curves, partial(further, names=["judged-overlap"])),
            *(quality.seeds, quality.significance, quality.storage),
        ],
    ),
    Page(
        "baselines",
        "Baselines",
        "What else could be shipped, and how does it rank the same queries?",
        [references, all_systems],
    ),
    Page(
        "hybrid",
        "Hybrid search",
        "What do the student's vectors and BM25 together reach on a device?",
        [quality.hybrid],
    ),
    Page(
        "static",
        "Static students",
        "What does a table of token vectors reach, without a transformer?",
        [partial(group, name="static")],
    ),
    Page(
        "ablations",
        "Ablations",
        "What do losses, texts, vocabulary, dimension, bits and first weights contribute?",
        [ablations],
    ),
    Page(
        "general-english",
        "The general student",
        "How does the packaged student rank sets that it never saw, and what does training that starts from it save?",
        [partial(further, names=["general-english"]), training_minutes],
    ),
    Page(
        "teachers",
        "Other teachers",
        "Do a cross-encoder or a second bi-encoder make better students?",
        [partial(further, names=_TEACHERS)],
    ),
    Page("not-kept", "What failed, what is next", "What was tried without success, and what is untried?", [notes]),
    Page("others", "Other measurements", "What else has been measured?", [others]),
)


def pages(results: Results) -> dict[str, str]:
    """Return the pages by file name, in Markdown; a page without sections is left out."""
    written, shown = {}, []
    for page in PAGES:
        if text := [section for sections in page.sections for section in sections(results)]:
            head = f"# {page.title}\n\n{page.question} [How to read the tables](README.md#how-to-read).\n"
            written[f"{page.name}.md"] = "\n".join([head, *text])
            shown.append(page)
    return {"README.md": "\n".join(_index(results, shown)), **written}


def _index(results: Results, shown: Sequence[Page]) -> Iterator[str]:
    yield "# Results\n"
    yield (
        "Written by `python -m experiments.results.write` from the reports in `experiments/reports/`, which\n"
        "`python -m experiments.run --data DATA` makes.\n"
    )
    yield from _headline(results)
    yield table(["page", "what it answers"], [[f"[{page.title}]({page.name}.md)", page.question] for page in shown], 2)
    yield _HOW_TO_READ
    yield from _caveats(results)
    yield from _missing(results)


def _headline(results: Results) -> Iterator[str]:
    """Yield one table: the students of the variant that hybrid search is measured with, and the mean of the sets."""
    variant = results.notes.hybrid.variant
    found = [results.find(variant, name) for name in results.group(HEADLINE).sets]
    reports = [report for report in found if report is not None]
    if not reports:
        return
    systems = [*MODES, *(system for system in quality.HYBRID if all(system in report.retention for report in reports))]
    names = {"hybrid_asymmetric": "asymmetric + BM25", "hybrid_symmetric": "symmetric + BM25"}
    rows = []
    for report in reports:
        baselines = results.baselines.get(report.data_set, {}).get("systems", {})
        rows.append(
            [
                f"{report.data_set}, {report.split}",
                f"{report.documents:,}",
                f"{report.ndcg10['teacher'][0]:.3f}",
                *(
                    f"{baselines[name]['ndcg10_retention'][0]:.1%}" if name in baselines else ""
                    for name in ("bm25", "model2vec_256_int8")
                ),
                megabytes(report.bytes["shipped"]),
                *(f"{report.retention[system][0]:.1%}" for system in systems),
            ]
        )
    means = [f"{np.mean([report.retention[system][0] for report in reports]):.1%}" for system in systems]
    rows.append(["**mean**", "", "", "", "", "", *(f"**{mean}**" for mean in means)])
    columns = ["set", "documents", "teacher, nDCG@10", "BM25", "model2vec, 256 x int8", "student, shipped"]
    yield (
        f"Retention of the students `{variant}` and of baselines: nDCG@10 as a share of that of the teacher "
        "(all-MiniLM-L6-v2,\n91 MB), which encodes queries and documents. How a student can pass 100 % is the first of "
        "the [caveats](#caveats).\n"
    )
    yield table([*columns, *(names.get(system, system) for system in systems)], rows)


_HOW_TO_READ = """## How to read

- **Students are measured as they are shipped**: the quantized ONNX file, run by ONNX Runtime. Bytes are those of the
  ONNX file and `tokenizer.json` together.
- **Asymmetric**: the student encodes the query, the teacher encoded the documents. **Symmetric**: the student encodes
  both.
- **nDCG@10** with 95 % bootstrap intervals over queries. **Retention**: the share of the teacher's nDCG@10 on the same
  queries.
- **Minus the first row**, **minus teacher**: difference of nDCG@10 with a paired bootstrap interval, query by query.
  **n.s.**: the interval holds 0; the two are not distinguished.
"""


def _caveats(results: Results) -> Iterator[str]:
    reports = results.of(HEADLINE)
    yield "## Caveats\n"
    yield """\
- **Retention can pass 100 %**: where a set has judged training queries, students learn from them too, and the teacher
  never did. `2.5mb-unjudged` is distillation alone, and [quality.md](quality.md) has the test queries whose documents
  training did not know.
- **Splits and choices**: SciFact is its test split, all others are dev splits.
  [Distillation](../explanation/distillation.md) says which settings were chosen in view of which queries.
- **One seed**, but for those in [Spread over seeds](quality.md#spread-over-seeds).
- **Two general students**: the one that is shipped, named by the first digits of the hash of its weights, and *the one
  before* (8,192 tokens, 16,000 steps). Each table says which of them training started from.
- **Ablations are short trainings** (400 steps), on tldr with few exceptions: compare their rows with each other, not
  with the headline."""
    if reports:
        yield (f"- **Times** are upper bounds: other work ran on the machine ({quality.machines(reports)}).\n")


def _missing(results: Results) -> Iterator[str]:
    there = {report.name for report in results.reports}
    missing = [experiment.name for experiment in experiments_of(results.experiments) if experiment.name not in there]
    sets = [name for name in results.group(HEADLINE).sets if name not in results.baselines]
    if missing or sets:
        yield "## Not run yet\n"
    if missing:
        yield f"{len(missing)} experiments: {', '.join(missing)}.\n"
    if sets:
        yield f"Baselines: {', '.join(sets)}.\n"
