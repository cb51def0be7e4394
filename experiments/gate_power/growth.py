"""Really exported pairs of bundles of which one is larger by a given share, held to `[regression] shipped_bytes`."""

import dataclasses
import itertools
from pathlib import Path

from pocketrank.benchmarks.gate.budget import read_budget
from pocketrank.benchmarks.gate.judge import judge
from pocketrank.benchmarks.gate.release import baseline_of_bundle
from pocketrank.runtime.files import write_bytes
from pocketrank.runtime.manifest import read_manifest, shipped_bytes

from experiments.gate_power.bundles import Shape, learn_vocabularies, make_bundle

BUDGET = b'[regression]\nshipped_bytes = "1 %"\n'
GROWTHS = {"equal": 0.0, "inside": 0.009, "beyond": 0.02}
WIDTHS, TOKENS, LAYERS = (96, 128, 192), (2000, 3000, 4500, 6000), (1, 2)


def shapes() -> list[Shape]:
    """Return the 24 sizes from which the bundles grow."""
    made = itertools.product(WIDTHS, TOKENS, LAYERS)
    return [Shape(tokens, 0, 4 * width, width, layers) for width, tokens, layers in made]


def grown(folder: Path, name: str, shape: Shape, tokens: list[str], growth: float, by: str) -> Path:
    """Export a bundle that ships about `growth` more than one of `shape`; `by` is the field of the shape that grows.

    What a row or a unit weighs is found by exporting, so that the growth is that of real files.
    """
    if not growth:
        return make_bundle(folder, name, shape, tokens)  # from the start again, into another folder
    base = _size(make_bundle(folder, "equal", shape, tokens))
    step = max(round(getattr(shape, by) * 0.02), 50 if by == "spare" else 4)

    def larger(more: int) -> Shape:
        return dataclasses.replace(shape, **{by: getattr(shape, by) + more})

    tried = _size(make_bundle(folder, "tried", larger(step), tokens))
    return make_bundle(folder, name, larger(round(step * growth * base / (tried - base))), tokens)


def gate_growths(folder: Path) -> list[dict[str, object]]:
    """Hold every pair to the budget and return what each was and what came out.

    The report holds what `pocketrank gate` reads from the bundle's manifest; its times are left out, which the budget
    does not ask for.
    """
    write_bytes(folder / "budget.toml", BUDGET)
    budget = read_budget(folder / "budget.toml")
    vocabularies = learn_vocabularies(list(TOKENS))
    rows: list[dict[str, object]] = []
    for number, shape in enumerate(shapes()):
        tokens, place = vocabularies[shape.tokens], folder / f"{number:02}"
        old = make_bundle(place, "old", shape, tokens)
        by = "spare" if number % 2 else "intermediate"
        for word, growth in GROWTHS.items():
            new = grown(place, word, shape, tokens, growth, by)
            verdict = judge(baseline_of_bundle(new), budget, baseline_of_bundle(old)).verdict
            grows = "" if not growth else "rows of the table" if by == "spare" else "units of the layers"
            row = {"bytes": _size(old), "grows": grows, "kind": word, "growth": round(_size(new) / _size(old) - 1, 6)}
            rows.append({**row, "verdict": verdict})
    return rows


def _size(bundle: Path) -> int:
    return shipped_bytes(read_manifest(bundle))
