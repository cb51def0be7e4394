"""What the general student buys: quality of the shipped file against minutes of training, by where training starts.

Examples:
    python -m experiments.studies.training_minutes recipes/scifact.toml --steps 100 300 1000 3000 --out minutes.json
    python -m experiments.studies.training_minutes recipes/scifact.toml --starts random general --folder runs/minutes

Runs the recipe up to the stage `evaluate` for every start and number of steps. All starts share the corpus, the
training texts and the teacher's vectors; each has a run folder of its own, so that only training and what follows it
is done again for another number of steps. Warm-up is a tenth of the steps, at most what the recipe says. Minutes are
wall time of the stage `distill` in this environment, composing the first weights included; do not interrupt it, for a
resumed stage counts its own seconds only. Finished rows are in the file even when a later one fails.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import run_recipe
from pocketrank.runtime.files import read_json, write_json
from pocketrank.runtime.progress import Lines, Progress

from experiments.figures import processor

SHARED = ("corpus", "queries", "teacher")


def share_stages(source: Path, target: Path) -> None:
    """Copy finished stages that do not depend on the student, which the runner takes when their keys agree."""
    for name in SHARED:
        if (source / "stages" / name).is_dir() and not (target / "stages" / name).exists():
            shutil.copytree(source / "stages" / name, target / "stages" / name)


def measure(
    recipe: Path, overrides: list[str], start: str, steps: int, out: Path, progress: Progress
) -> dict[str, Any]:
    """Train and evaluate once; return the row of the report."""
    warmup = min(read_recipe(recipe, overrides).recipe.distill.warmup_steps, max(steps // 10, 1))
    changes = [f"student.initialise={start}", f"distill.steps={steps}", f"distill.warmup_steps={warmup}"]
    results = run_recipe(recipe, out, overrides=[*overrides, *changes], progress=progress, until="evaluate")
    evaluation = read_json(results["evaluate"].folder / "evaluation.json")
    log = read_json(results["distill"].folder / "log.json")["points"][-1]
    row: dict[str, Any] = {"start": start, "steps": steps, "minutes": round(results["distill"].seconds / 60, 3)}
    row["validation_cosine"] = log.get("validation_cosine")
    row["teacher_ndcg10"] = round(evaluation["ndcg10"]["teacher"]["value"], 5)
    for name in ("symmetric", "asymmetric"):
        retention = evaluation["ndcg10_retention"][name]
        row[name] = {key: round(retention[key], 5) for key in ("value", "low", "high")}
    return row


def main() -> None:
    """Measure everything, write the report after every row, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--starts", nargs="+", choices=("random", "teacher", "general"), default=["teacher", "general"])
    parser.add_argument("--folder", type=Path, default=Path("runs/training-minutes"), help="where the runs are")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("training-minutes.json"))
    arguments = parser.parse_args()
    name = read_recipe(arguments.recipe, arguments.overrides).recipe.name
    folders = {start: arguments.folder / f"{name}-{start}" for start in arguments.starts}
    rows: list[dict[str, Any]] = []
    for steps in arguments.steps:
        for start, folder in folders.items():
            for other in folders.values():
                share_stages(other, folder)
            rows.append(measure(arguments.recipe, arguments.overrides, start, steps, folder, Lines()))
            report = {
                "recipe": name,
                "overrides": arguments.overrides,
                "machine": {"processor": processor(), "cores": len(os.sched_getaffinity(0))},
                "measured": "retention of the shipped file; minutes of the stage distill",
                "rows": rows,
            }
            write_json(arguments.out, report)
    print("| steps | start | minutes | symmetric | asymmetric |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        cells = " | ".join(f"{row[side]['value']:.1%}" for side in ("symmetric", "asymmetric"))
        print(f"| {row['steps']:,} | {row['start']} | {row['minutes']:.1f} | {cells} |")


if __name__ == "__main__":
    main()
