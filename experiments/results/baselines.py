"""Tables of what else could be shipped: the teacher by storage and precision, BM25, model2vec."""

from collections.abc import Iterator, Mapping
from typing import Any

from experiments.results.markdown import interval, megabytes, percent, table
from experiments.results.records import Results

REFERENCES = {
    "teacher_int8": "teacher in int8",
    "bm25": "BM25",
    "fusion_teacher": "teacher + BM25",
    "model2vec_256_int8": "model2vec, 256 x int8",
    "model2vec_64_int8": "model2vec, 64 x int8",
}


def references(results: Results) -> Iterator[str]:
    """Yield nDCG@10 of the teacher and, with retention and size, of what else ranks each set."""
    yield "## References\n"
    if not results.baselines:
        yield "No report yet (`experiments/reports/baselines-<set>.json`).\n"
        return
    rows = []
    for name, report in results.baselines.items():
        systems = report["systems"]
        cells = [_reference(systems[key]) if key in systems else "" for key in REFERENCES]
        rows.append([name, f"{systems['teacher']['ndcg10'][0]:.3f}", *cells])
    yield "nDCG@10 (retention, shipped bytes) on the same queries as the students.\n"
    yield table(["set", "teacher", *REFERENCES.values()], rows)


def _reference(system: Mapping[str, Any]) -> str:
    retention = f", {system['ndcg10_retention'][0]:.1%}" if system.get("ndcg10_retention") else ""
    size = f", {megabytes(system['bytes'])}" if system.get("bytes") else ""
    return f"{system['ndcg10'][0]:.3f} ({(retention + size).removeprefix(', ')})"


def all_systems(results: Results) -> Iterator[str]:
    """Yield a table of all measured systems for every set."""
    for name, report in results.baselines.items():
        rows = [
            [
                system["method"],
                megabytes(system["bytes"]) if system.get("bytes") else "-",
                interval(system["ndcg10"]),
                percent(system.get("ndcg10_retention")),
            ]
            for system in report["systems"].values()
        ]
        yield f"## {name}, {report['split']}: {report['documents']:,} documents, {report['queries']:,} queries\n"
        yield table(["system", "bytes", "nDCG@10", "retention"], rows)
        for left_out, why in report.get("left_out", {}).items():
            yield f"Left out: {left_out} ({why}).\n"
