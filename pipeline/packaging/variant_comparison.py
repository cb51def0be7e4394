"""What each ONNX file of a bundle is worth beside the fp32 file: bytes, faithfulness, ranking, speed."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...export.bundle.assemble import REFERENCE
from ...export.check.latency_ratio import latency_ratios
from ...export.check.parity import Parity, compare, spread_texts
from ...runtime.encoder import Encoder
from ...runtime.manifest import Prompts
from ..retrieval.system import DocumentEncoder, QueryEncoder, System

TIMED_TEXTS = 24
_ENCODERS: tuple[DocumentEncoder, ...] = ("student", "teacher")
SLOWER = 1.02  # a ratio above this counts as slower; turns on one machine repeat within 2 %


@dataclass(frozen=True)
class VariantFacts:
    """One file beside the fp32 file. Speed is that of this machine and never enters the bundle."""

    name: str
    file: str
    bytes: int
    bytes_ratio: float
    cosine_mean: float  # to the fp32 file
    cosine_min: float
    latency_ratio: float  # of queries, on this machine
    ndcg10: dict[str, float] = dataclasses.field(default_factory=dict)  # by mode of ranking, when it is evaluated

    def findings(self) -> list[str]:
        """Return what speaks against the file: no smaller or slower than the fp32 file that it replaces."""
        if self.name == REFERENCE:
            return []
        warnings = (
            [f"no smaller than {REFERENCE}: {self.bytes_ratio:.2f} of its bytes"] if self.bytes_ratio >= 1 else []
        )
        if self.latency_ratio > SLOWER:
            warnings.append(f"slower than {REFERENCE}: {self.latency_ratio:.2f} of its time per query on this machine")
        return warnings


def graph_files(bundle: Path) -> dict[str, str]:
    """Return the graphs of a candidate folder, the fp32 file first: name -> relative path."""
    graphs = sorted(path for path in (bundle / "onnx").iterdir() if path.suffix in (".onnx", ".ort"))
    files = {path.stem: path.relative_to(bundle).as_posix() for path in graphs}
    return {REFERENCE: files.pop(REFERENCE), **files}


def measure_variants(bundle: Path, texts: Sequence[str]) -> list[VariantFacts]:
    """Measure every graph of the candidate folder `bundle` on real texts, of which the first half are queries."""
    files = graph_files(bundle)
    tokenizer = Encoder.open(bundle, REFERENCE).tokenizer
    encoders = {name: Encoder(bundle, name, bundle / file, tokenizer, Prompts(), 1) for name, file in files.items()}
    exact = encoders[REFERENCE].encode(texts)
    parities: dict[str, Parity] = {
        name: compare(name, encoder.encode(texts), REFERENCE, exact) for name, encoder in encoders.items()
    }
    queries = spread_texts(texts[: max(len(texts) // 2, 1)], TIMED_TEXTS)
    timed = [encoders[REFERENCE].tokenize(text) for text in queries]
    ratios = latency_ratios({name: bundle / file for name, file in files.items()}, timed, REFERENCE)
    sizes = {name: (bundle / file).stat().st_size for name, file in files.items()}
    return [
        VariantFacts(
            name,
            file,
            sizes[name],
            round(sizes[name] / sizes[REFERENCE], 4),
            parities[name].cosine_mean,
            parities[name].cosine_min,
            round(ratios[name], 3),
        )
        for name, file in files.items()
    ]


def with_quality(facts: Sequence[VariantFacts], evaluation: Mapping[str, Any], shipped: str) -> list[VariantFacts]:
    """Return the facts with nDCG@10 of `evaluation.json` beside each file that was evaluated."""
    figures = evaluation["ndcg10"]
    files: dict[str, QueryEncoder] = {shipped: "student", REFERENCE: "student_fp32"}
    rows = []
    for fact in facts:
        keys = {System("student", by).key: System(files[fact.name], by).key for by in _ENCODERS if fact.name in files}
        ndcg10 = {mode: figures[key]["value"] for mode, key in keys.items() if key in figures}
        rows.append(dataclasses.replace(fact, ndcg10=ndcg10))
    return rows


def card_notes(facts: Sequence[VariantFacts]) -> dict[str, str]:
    """Return what the card says about each file: nothing that another run would measure differently."""
    notes = {}
    for fact in facts:
        parts = [] if fact.name == REFERENCE else [f"cosine {fact.cosine_mean:.5f} to `{REFERENCE}`"]
        parts += [f"nDCG@10 {value:.4f} {mode}" for mode, value in fact.ndcg10.items()]
        parts += [f"**no smaller than `{REFERENCE}`**"] if fact.name != REFERENCE and fact.bytes_ratio >= 1 else []
        notes[fact.name] = ", ".join(parts)
    return notes


def fact_rows(facts: Sequence[VariantFacts]) -> list[dict[str, Any]]:
    """Return the rows of `variants.json`."""
    return [dataclasses.asdict(fact) | {"findings": fact.findings()} for fact in facts]


def read_facts(rows: Sequence[Mapping[str, Any]]) -> list[VariantFacts]:
    """Read the rows of a `variants.json` of ours."""
    return [VariantFacts(**{key: value for key, value in row.items() if key != "findings"}) for row in rows]


def fact_line(fact: VariantFacts) -> str:
    """Say in one line what a file is worth."""
    quality = "".join(f", nDCG@10 {value:.4f} {mode}" for mode, value in fact.ndcg10.items())
    against = "".join(f"; {finding}" for finding in fact.findings())
    return (
        f"  {fact.file}: {fact.bytes:,} bytes, cosine {fact.cosine_mean:.5f}{quality}, "
        f"{fact.latency_ratio:.2f} of the fp32 file's time{against}"
    )
