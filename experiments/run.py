"""Run the experiments of experiments/experiments.toml that have no report yet, and keep a small report of each.

Example: python -m experiments.run --data data --only headline/scifact --workers 1

--only takes GROUP, GROUP/SET or the beginning of GROUP/SET-VARIANT-seedN, and may be repeated; --list shows what there
is. Interrupt it at any time: finished experiments are kept, and of the current one all stages but the last. Two of
these can run at the same time on different sets or groups. Vectors of the teacher are kept in RUNS/vectors and shared
by all experiments.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pocketrank.export.size.explain import size_breakdown
from pocketrank.pipeline.distill.output import DistillOutput
from pocketrank.pipeline.evaluate.noise_robustness import measure_robustness
from pocketrank.pipeline.evaluate.record import Entry, read_evaluation
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import StageResult, run_recipe
from pocketrank.pipeline.settings import StudentSettings
from pocketrank.pipeline.student.pretrained import general_fingerprint
from pocketrank.runtime.errors import PocketrankError
from pocketrank.runtime.files import read_json, sha256_bytes
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.progress import Lines
from pocketrank.runtime.schema import to_mapping

from experiments.figures import machine, pack, write_report
from experiments.records import (
    SCHEMA_VERSION,
    Experiment,
    ExperimentReport,
    chosen,
    experiments_of,
    read_experiments,
    report_path,
)

LIBRARIES = ("numpy", "onnxruntime", "sentence-transformers", "tokenizers", "torch", "transformers")
KEPT_PER_QUERY = ("symmetric", "asymmetric", "teacher", "bm25", "hybrid_symmetric", "hybrid_asymmetric")
LARGEST_PARTS = 12


def run(experiment: Experiment, arguments: argparse.Namespace, recipes: Path) -> ExperimentReport:
    """Bring the run of an experiment up to date and return its report."""
    data = arguments.data.resolve()
    overrides = [override.replace("{data}", str(data)) for override in experiment.overrides]
    overrides.append(f"corpus.path={data / experiment.data_set}")
    if arguments.workers:
        overrides += [f"teacher.workers={arguments.workers}", f"distill.workers={arguments.workers}"]
    resolved = read_recipe(recipes / f"{experiment.data_set}.toml", overrides)
    out = arguments.runs / f"{experiment.data_set}-{experiment.group}"
    results = run_recipe(resolved, out, progress=Lines(), until="bundle")
    measured_noise = noise(experiment, results) if experiment.noise else {}
    return dataclasses.replace(
        report(experiment, results), start=start(resolved.recipe.student, results), noise=measured_noise
    )


def start(student: StudentSettings, results: Mapping[str, StageResult]) -> str:
    """Return twelve digits of the hash of the general student that training started from; nothing for another start."""
    if DistillOutput(results["distill"].folder).start()["start"] != "general":
        return ""
    return general_fingerprint(student)["general/weights"][:12]


def noise(experiment: Experiment, results: Mapping[str, StageResult]) -> dict[str, tuple[float, ...]]:
    """Return nDCG@10 without and with typing noise in the test queries, and the ratio of both with its interval."""
    bundle, corpus = results["bundle"].folder / "bundle", results["corpus"].folder
    robustness = measure_robustness(bundle, corpus, experiment.noise, progress=Lines())
    return {
        name: tuple(round(figure, 4) for figure in (row.clean, row.noisy, row.retention, row.low, row.high))
        for name, row in robustness.ndcg10.items()
    }


def report(experiment: Experiment, results: Mapping[str, StageResult]) -> ExperimentReport:
    """Return what is kept of a finished run."""
    folders = {name: result.folder for name, result in results.items()}
    evaluation = read_evaluation(folders["evaluate"] / "evaluation.json")
    queries = read_json(folders["evaluate"] / "per_query.json")
    bundle = folders["bundle"] / "bundle"
    student = read_json(folders["distill"] / "student" / "config.json")
    teacher = read_json(folders["teacher"] / "teacher.json")
    speed, log = (read_json(folders["distill"] / name) for name in ("speed.json", "log.json"))
    labelling = read_json(folders["teacher"] / "speed.json")
    shares = [(f"{share.file}: {share.name}", share.bytes) for share in size_breakdown(bundle)]
    rest = sum(size for _, size in shares[LARGEST_PARTS:])
    systems = {system for system in KEPT_PER_QUERY if system in queries["ndcg10"]}
    systems |= {system for system in queries["ndcg10"] if system not in evaluation.ndcg10}  # baselines
    return ExperimentReport(
        SCHEMA_VERSION,
        experiment.group,
        experiment.variant,
        experiment.data_set,
        experiment.seed,
        experiment.overrides,
        "test" if experiment.data_set == "scifact" else "dev",
        evaluation.documents,
        evaluation.queries,
        sha256_bytes("\n".join(queries["queries"]).encode()),
        {name: entry_row(entry) for name, entry in evaluation.ndcg10.items()},
        {name: entry_row(entry) for name, entry in evaluation.ndcg10_retention.items()},
        {name: round(entry.value, 4) for name, entry in evaluation.mrr10.items()},
        {name: round(entry.value, 4) for name, entry in evaluation.recall100.items()},
        sizes(bundle),
        dict(shares[:LARGEST_PARTS]) | ({"others": rest} if rest else {}),
        {key: value for key, value in student.items() if isinstance(value, int) and not isinstance(value, bool)}
        | {"dimension": teacher["reduced_dimension"]},
        {"texts": log["texts"], **{key: speed[key] for key in ("steps", "tokens", "seconds")}},
        {"explained": teacher["explained_variance"], **{key: labelling[key] for key in ("tokens", "seconds")}},
        vocabulary(folders["vocabulary"] / "report.json"),
        {name: version(name) for name in LIBRARIES},
        machine(),
        {name: chosen.weight for name, chosen in evaluation.bm25_weight.items()},
        {},
        {system: pack(queries["ndcg10"][system]) for system in sorted(systems)},
    )


def entry_row(entry: Entry) -> tuple[float, ...]:
    """Return value, low and high of a figure, to four digits."""
    return tuple(round(number, 4) for number in (entry.value, entry.low, entry.high))


def sizes(bundle: Path) -> dict[str, int]:
    """Return the bytes that are shipped: the default ONNX file and the tokenizer."""
    manifest = read_manifest(bundle)
    model = (bundle / manifest.variants[manifest.default_variant].file).stat().st_size
    tokenizer = (bundle / "tokenizer.json").stat().st_size
    return {"model": model, "tokenizer": tokenizer, "shipped": model + tokenizer}


def vocabulary(path: Path) -> dict[str, Any]:
    """Return kind, table of candidates and reason of the vocabulary stage."""
    whole = read_json(path)
    return {"kind": whole["kind"], "candidates": whole["candidates"], "rule": whole["rule"]}


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=Path, default=Path("experiments/experiments.toml"), metavar="FILE")
    parser.add_argument("--only", action="append", default=[], metavar="GROUP[/SET[-VARIANT]]")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER", help="retrieval sets, BEIR layout")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), metavar="FOLDER")
    parser.add_argument(
        "--out", type=Path, default=Path("experiments/reports"), metavar="FOLDER", help="where reports go"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes a run may use (0: one a core)")
    parser.add_argument("--set", dest="further", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--list", action="store_true", help="show the experiments and which are done")
    arguments = parser.parse_args()
    file = read_experiments(arguments.experiments)
    experiments = chosen(list(experiments_of(file)), arguments.only)
    os.environ.setdefault("POCKETRANK_VECTORS", str((arguments.runs / "vectors").resolve()))
    for number, experiment in enumerate(experiments, start=1):
        path = report_path(arguments.out, experiment)
        state = "done" if path.is_file() else "to do"
        print(f"{number}/{len(experiments)} {experiment.name}: {state}", flush=True)
        if path.is_file() or arguments.list:
            continue
        started = time.monotonic()
        if arguments.further:
            overrides = (*experiment.overrides, *arguments.further)
            experiment = dataclasses.replace(experiment, overrides=overrides)
        try:
            finished = run(experiment, arguments, Path(file.recipes))
        except PocketrankError as error:
            raise SystemExit(f"{experiment.name}: {error}") from None
        write_report(path, to_mapping(finished))
        figures = {
            name: finished.retention[name][0] for name in ("asymmetric", "symmetric") if name in finished.retention
        }
        words = ", ".join(f"{name} {value:.1%}" for name, value in figures.items())
        print(f"  {finished.bytes['shipped']:,} bytes; {words}; {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
