"""How often does the gate raise a false alarm, and how often does it catch what really is slower or larger?

Examples: python -m experiments.gate_power.run --folder gate_power
          python -m experiments.gate_power.run --recorded experiments/reports/gate_power_samples.json

The first command makes real bundles (`bundles.py`): a plain one, a copy of it and one that is truly slower in
its queries and its start; records them interleaved, a fresh process each (`recording.py`); plays the gate on the
recording (`evaluation.py`); and gates pairs of bundles whose files differ by 0, 0.9 and 2 % (`growth.py`).
It prints Markdown and writes results.json and samples.json into the folder; interrupted, it goes on where it stopped.
The second one plays the gate on samples that somebody recorded.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.benchmarks.records.report import Report
from pocketrank.runtime.files import read_json, write_bytes, write_json
from pocketrank.runtime.progress import Lines

from experiments.gate_power.evaluation import Player, Values, cells, compact, describe_values, played
from experiments.gate_power.growth import gate_growths
from experiments.gate_power.recording import make_bundles, read_recording, record

REPETITIONS = {"in turns": (40, 25, 15, 7), "stored": (40, 7)}


def circumstances(reports: Sequence[Report]) -> dict[str, Any]:
    """Return what the machine was and how busy it was while these reports were made."""
    runs = [run for report in reports for run in report.devices[0].runs]
    loads = [run.conditions["after"]["load"] for run in runs if run.outcome == "ok"]
    shares = [run.cpu / run.wall for run in runs if run.outcome == "ok"]
    return {
        "machine": reports[0].devices[0].machine,
        "code": reports[0].code,
        "settings": {**reports[0].settings, "repetitions": len({run.repetition for run in runs}) * len(reports)},
        "models": {model.name: model.model_bytes + model.tokenizer_bytes for model in reports[0].models},
        "processes": len(runs),
        "failed": sum(run.outcome != "ok" for run in runs),
        "load": [round(float(np.quantile(loads, q)), 2) for q in (0, 0.5, 1)],
        "cpu_share": [round(float(np.quantile(shares, q)), 3) for q in (0, 0.01, 0.05, 0.5)],
    }


def play_all(
    values: Values, gates: int, resamples: int, gates_each: int, jobs: int, store: Path | None
) -> list[dict[str, Any]]:
    """Return all cells of the table, in their order; those that the file `store` holds already are not played again."""
    known = read_json(store) if store and store.is_file() else []
    every = cells(REPETITIONS)
    missing = [cell for cell in every if not any(asdict(cell).items() <= row.items() for row in known)]
    play = partial(played, Player(values), gates=gates, resamples=resamples, gates_each=gates_each)
    with ProcessPoolExecutor(jobs) as pool, Lines().task("playing gates", len(missing), "cells") as task:
        for cell in pool.map(play, missing):
            known.append(cell)
            if store:
                write_json(store, known)
            task.advance()
    return known


def describe_lines(described: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return in Markdown what was really recorded."""
    lines = [
        "| metric | plain bundle | really slower by | copy differs by | one process varies | ratio of a pair varies "
        "| ratios of neighbours alike (by chance up to) | sizes of their scatter alike |",
        "| --- " * 8 + "|",
    ]
    for metric, row in described.items():
        lags = ", ".join(f"{row[name]:+.2f}" for name in ("lag1_equal", "lag1_slower"))
        lines.append(
            f"| {metric} | {row['median_seconds'] * 1e3:.3g} ms "
            f"| {row['slowdown']:.1%} ({row['slowdown_low']:.1%} … {row['slowdown_high']:.1%}) "
            f"| {row['equal']:+.2%} ({row['equal_low']:+.2%} … {row['equal_high']:+.2%}) "
            f"| {row['process_deviation']:.1%} | {row['pair_deviation']:.1%} | {lags} (±{row['chance']:.2f}) "
            f"| {row['lag1_size']:+.2f} |"
        )
    return lines


def table_lines(gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the verdicts in Markdown: a row is a gate, once on equal bundles and once on a slower one."""
    lines = [
        "| metric | allowed | baseline | repetitions | false alarms, independent | false alarms, drawn | equal, "
        "inconclusive | caught, independent | caught, drawn | slower, passed |",
        "| --- " * 10 + "|",
    ]
    rows: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for gate in gates:
        key = (gate["metric"], gate["allowed"], gate["baseline"], gate["repetitions"])
        rows.setdefault(key, {})[gate["case"]] = gate
    for (metric, allowed, baseline, count), row in rows.items():
        equal, slower = row["equal"], row["slower"]
        missed = slower["drawn"]["gates"] - slower["drawn"]["fail"] - slower["drawn"]["inconclusive"]
        values = [
            *(metric, f"{allowed:.0%}", baseline, str(count)),
            *(_few(equal["independent"]), _many(equal["drawn"])),
            f"{equal['drawn']['inconclusive'] / equal['drawn']['gates']:.1%}",
            *(_few(slower["independent"]), _many(slower["drawn"])),
            f"{missed / slower['drawn']['gates']:.1%}",
        ]
        lines.append("| " + " | ".join(values) + " |")
    return lines


def _few(counts: Mapping[str, Any]) -> str:
    return f"{counts['fail']} of {counts['gates']} ({counts['low']:.1%} … {counts['high']:.1%})"


def _many(counts: Mapping[str, Any]) -> str:
    interval = "" if counts["low"] is None else f" ({counts['low']:.1%} … {counts['high']:.1%})"
    return f"{counts['fail'] / counts['gates']:.1%}{interval}"


def growth_lines(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the verdicts on bytes in Markdown."""
    lines = ["| growth, really | pairs | pass | fail | inconclusive |", "| --- " * 5 + "|"]
    for kind in dict.fromkeys(pair["kind"] for pair in pairs):
        own = [pair for pair in pairs if pair["kind"] == kind]
        words = [pair["verdict"] for pair in own]
        least, most = min(pair["growth"] for pair in own), max(pair["growth"] for pair in own)
        counts = " | ".join(str(words.count(word)) for word in ("pass", "fail", "inconclusive"))
        lines.append(f"| {least:.2%} … {most:.2%} | {len(own)} | {counts} |")
    sizes = [pair["bytes"] for pair in pairs]
    return [*lines, "", f"The bundles that grow ship {min(sizes):,} to {max(sizes):,} bytes."]


def main() -> None:
    """Make, record, play, gate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("gate_power"), help="bundles, recording and results")
    parser.add_argument("--repetitions", type=int, default=1440, help="of the recording; about 1.3 s each")
    parser.add_argument("--seconds", type=float, default=0.25, help="timed region of a process")
    parser.add_argument("--recorded", type=Path, metavar="FILE", help="samples.json of an earlier recording")
    parser.add_argument("--gates", type=int, default=1000, help="drawn gates in each cell of the table")
    parser.add_argument("--resamples", type=int, default=60, help="of the bootstrap")
    parser.add_argument("--gates-each", type=int, default=50, help="gates played on each of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes that play")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    results: dict[str, Any] = {}
    store = None if arguments.recorded else folder / "gates.json"
    if arguments.recorded:
        values = read_json(arguments.recorded)
    else:
        bundles = make_bundles(folder / "bundles")
        record(bundles, folder / "recording", arguments.repetitions, arguments.seconds, Lines())
        reports = read_recording(folder / "recording")
        results["circumstances"] = circumstances(reports)
        values = compact(reports)
        write_bytes(folder / "samples.json", json.dumps(values, separators=(",", ":")).encode())
    results["recorded"] = describe_values(values)
    print("\n".join(describe_lines(results["recorded"])), flush=True)
    results["gates"] = play_all(
        values, arguments.gates, arguments.resamples, arguments.gates_each, arguments.jobs, store
    )
    print("\n" + "\n".join(table_lines(results["gates"])), flush=True)
    if not arguments.recorded:
        results["growth"] = gate_growths(folder / "growth")
        print("\n" + "\n".join(growth_lines(results["growth"])))
        write_json(folder / "results.json", results)


if __name__ == "__main__":
    main()
