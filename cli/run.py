"""Run a recipe: from a teacher and a corpus to a verified, benchmarked and gated bundle.

Finished stages are kept and interrupted ones resumed: run the same command again at any time. What can be known before
the first stage is checked before it; --check does this alone.

example:
  pocketrank run recipes/pydocs.toml
  pocketrank run recipes/pydocs.toml --out runs/try --set distill.steps=500 --overwrite stage:distill
  pocketrank run recipes/pydocs.toml --check
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.extras import require
from ..runtime.schema import to_mapping
from .output import make_progress, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..pipeline.recipe import ResolvedRecipe

# What the factory needs beyond a device's packages; the extra `build` brings them.
_FACTORY = ("torch", "transformers", "sentence_transformers", "onnx", "safetensors", "tomli_w", "matplotlib")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", type=Path, help="recipe file (TOML)")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/<recipe name>)")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="override one key of the recipe; may be repeated",
    )
    parser.add_argument(
        "--overwrite",
        default="only-missing",
        metavar="WHEN",
        help="only-missing (default): keep what is finished and current; never: refuse to replace a finished stage; "
        "always: run everything again; stage:NAME: run that stage and what follows again",
    )
    parser.add_argument("--until", default="", metavar="STAGE", help="stop after this stage")
    parser.add_argument(
        "--on",
        default="local",
        metavar="PLACE",
        help="where teacher and cross-encoder compute: local (default), ray (a Ray cluster of this machine, or that of "
        "RAY_ADDRESS) or ray://HEAD:PORT; the bytes are the same",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only check what can be known before the first stage: names, files, budgets, devices, disk, the teacher",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Run the recipe; the exit code is the gate's."""
    require("a recipe", *_FACTORY)
    from ..benchmarks.gate.judge import read_verdict
    from ..benchmarks.records.report import read_report
    from ..benchmarks.render.tables import comparison_table, verdict_table
    from ..pipeline.recipe import read_recipe
    from ..pipeline.runner import run_recipe

    resolved = read_recipe(arguments.recipe, arguments.overrides)
    out = arguments.out or Path("runs") / resolved.recipe.name
    if arguments.check:
        return _check(resolved, out, arguments)
    progress = make_progress(quiet=arguments.json)
    results = run_recipe(
        resolved, out, progress=progress, overwrite=arguments.overwrite, until=arguments.until, on=arguments.on
    )
    outcome: dict[str, Any] = {
        "out": str(out),
        "stages": [
            {"name": result.name, "key": result.key, "seconds": round(result.seconds, 1), "kept": not result.fresh}
            for result in results.values()
        ],
    }
    if "gate" not in results:
        if arguments.json:
            print_json(outcome)
        else:
            print_line(f"stopped after {list(results)[-1]}; the finished stages are in {out / 'stages'}")
        return 0
    report, verdict = read_report(out / "report.json"), read_verdict(out / "verdict.json")
    table = comparison_table(report, resolved.recipe.name)
    outcome["comparison"] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    outcome["verdict"] = to_mapping(verdict)
    if arguments.json:
        print_json(outcome)
        return verdict.exit_code
    print_table(table.title, table.columns, table.rows, table.note)
    gate = verdict_table(verdict)
    print_table(gate.title, gate.columns, gate.rows, gate.note)
    minutes = sum(result.seconds for result in results.values() if result.fresh) / 60
    print_line(f"verdict: {verdict.verdict}; {minutes:.1f} minutes of work in this run")
    print_line(f"bundle: {out / 'bundle'}")
    question = "merge two sorted lists" if resolved.recipe.corpus.source == "pydocs" else "your own question"
    print_line(f'try it: pocketrank search {out / "bundle"} "{question}"')
    return verdict.exit_code


def _check(resolved: "ResolvedRecipe", out: Path, arguments: argparse.Namespace) -> int:
    """Print each thing that was checked as soon as it has passed."""
    from ..pipeline.runner import check_recipe

    found = {}
    for name, what in check_recipe(resolved, out, arguments.until):
        found[name] = what
        if not arguments.json:
            print_line(f"{name}: {what}")
    if arguments.json:
        print_json({"recipe": resolved.recipe.name, "checked": found})
    else:
        print_line(f"{arguments.recipe} can be run")
    return 0
