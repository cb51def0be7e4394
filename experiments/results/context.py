"""What every table of docs/results.md is read beside: what else ranks these sets, and where training started."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from experiments.records import ExperimentReport
from experiments.results.further import table
from experiments.results.records import HEADLINE, Results

_OTHER_STARTS = ("student.initialise=teacher", "student.initialise=random", "student.kind=static")
_BESIDE = {
    "teacher_int8": "the teacher in int8",
    "bm25": "BM25",
    "fusion_teacher": "teacher + BM25",
    "model2vec_256_int8": "model2vec, 256 x int8",
    "model2vec_64_int8": "model2vec, 64 x int8",
}
STORED = {
    "symmetric": "float32",
    "symmetric_int8": "int8",
    "symmetric_binary": "bits, the best 500 ranked again in int8",
    "symmetric_binary_unrescored": "bits alone",
}


def beside(found: Results, sets: Iterable[str]) -> Iterator[str]:
    """Yield a line for every set: nDCG@10 of the teacher, in int8 too, BM25, their fusion, and model2vec."""
    for name in dict.fromkeys(sets):
        if name in found.baselines:
            systems = found.baselines[name]["systems"]
            words = [f"the teacher {systems['teacher']['ndcg10'][0]:.3f}"]
            words += [f"{title} {_figure(systems[key])}" for key, title in _BESIDE.items() if key in systems]
            yield f"Beside them on {name}: {'; '.join(words)}.\n"


def _figure(system: Mapping[str, Any]) -> str:
    kept = f", {system['ndcg10_retention'][0]:.1%}" if system.get("ndcg10_retention") else ""
    size = f", {system['bytes'] / 1e6:.2f} MB" if system.get("bytes") else ""
    return f"{system['ndcg10'][0]:.3f} ({(kept + size).removeprefix(', ')})"


def starts(reports: Sequence[ExperimentReport]) -> str:
    """Return which general students the reports started from; nothing where none did."""
    names: dict[str, list[str]] = {}
    for one in reports:
        if not any(words.startswith(_OTHER_STARTS) for words in one.overrides):
            names.setdefault(one.start, []).append(f"{one.data_set} {one.variant}")
    return " ".join(
        f"From the general student {start or 'before this one (8,192 pieces, 16,000 steps)'}: "
        f"{', '.join(dict.fromkeys(found))}."
        for start, found in sorted(names.items(), reverse=True)
    )


def stored_vectors(found: Results) -> Iterator[str]:
    """Yield the table of what the students' own document vectors lose in int8 and in bits."""
    rows = [
        [one.data_set, one.variant, *(f"{one.retention[name][0]:.1%}" for name in STORED)]
        for one in found.of(HEADLINE)
        if one.seed == 1 and STORED.keys() <= one.retention.keys()
    ]
    if rows:
        yield "## Document vectors in int8 and in bits\n"
        yield "What the index of a bundle keeps of the teacher's nDCG@10, by how it stores the bundle's own vectors.\n"
        yield table(["set", "variant", *STORED.values()], rows, left=2)
