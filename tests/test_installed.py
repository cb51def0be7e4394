"""Every command, and the script of the GitHub action, where the built wheel is all there is."""

import json
from pathlib import Path

import pytest
import yaml
from builders.clean_environment import CleanEnvironment
from builders.tiny_recipe import REPOSITORY
from pocketrank.cli.main import COMMANDS

QUICK = "--repetitions 1 --min-seconds 0.05 --min-queries 5 --no-overhead"
WORKS = (
    "verify general-english",
    "verify general-english --json",
    "inspect general-english",
    "inspect general-english --json",
    "index general-english notes --out index",
    "search index certificate --bundle general-english",
    "search --corpus notes certificate --json",
    "evaluate general-english judged",
    "evaluate general-english judged --noise 0.9 --json",
    f"benchmark general-english {QUICK} --out first.json --markdown first.md",
    f"benchmark general-english {QUICK} --sweep length=8 --energy codecarbon --json",
    "gate {bundle} --budget kept.toml --repetitions 1 --report-out second.json --out verdict.json --junit verdict.xml",
    "gate {bundle} --budget kept.toml --report second.json --github",
    "compare first.json second.json",
    "compare {bundle} {bundle} --json",
    "history first.json second.json",
    "history first.json second.json --json",
    "devices",
    "devices --json",
)
NEEDS_EXTRA = (
    ("run pydocs.toml", "build"),
    ("sign general-english --key key.pem --out model.sig", "sign"),
    ("verify general-english --key key.pub", "sign"),
    ("evaluate general-english judged --baselines teacher-int8", "build"),
    ("evaluate general-english judged --documents teacher", "build"),
    ("index general-english notes --out hybrid --hybrid", "hybrid"),
    ("search --corpus notes certificate --hybrid", "hybrid"),
    (f"benchmark general-english {QUICK} --html page.html", "report"),
    ("gate {bundle} --budget kept.toml --html page.html", "report"),
    ("history first.json second.json --html page.html", "report"),
)


def write_inputs(folder: Path) -> None:
    notes = folder / "notes"
    notes.mkdir()
    (notes / "one.txt").write_text("how to renew a certificate\n", encoding="utf-8")
    (notes / "two.md").write_text("merging two sorted lists\n", encoding="utf-8")
    judged = folder / "judged"
    (judged / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{row}", "text": f"what is said about topic {row}"} for row in range(8)]
    queries = [{"_id": f"q{row}", "text": f"Topic {row}?"} for row in range(5)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (judged / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judgements = "".join(f"q{row}\td{row}\t1\n" for row in range(5))
    (judged / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgements}", encoding="utf-8")
    (folder / "kept.toml").write_text('[bundle]\nshipped_bytes = "9 MB"\n', encoding="utf-8")
    (folder / "broken.toml").write_text('[bundle]\nshipped_bytes = "1 MB"\n', encoding="utf-8")
    (folder / "pydocs.toml").write_text('name = "pydocs"\n', encoding="utf-8")


@pytest.fixture(scope="module")
def bundle() -> Path:
    return REPOSITORY / "models" / "general-english" / "bundle"


@pytest.fixture(scope="module")
def base(wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    return CleanEnvironment(tmp_path_factory.mktemp("installed") / "base", wheel_file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    write_inputs(made)
    return made


def test_every_command_works_or_says_which_extra_brings_it(base: CleanEnvironment, bundle: Path, folder: Path) -> None:
    wrong = []
    for line in WORKS:
        done = base.run("pocketrank", *line.format(bundle=bundle).split(), cwd=folder)
        if done.returncode:
            wrong.append((line, done.returncode, done.stderr))
    for line, extra in NEEDS_EXTRA:
        done = base.run("pocketrank", *line.format(bundle=bundle).split(), cwd=folder)
        *progress, last = done.stderr.splitlines() or [""]
        said = last.startswith("pocketrank: error: ") and last.endswith(f"; run: pip install 'pocketrank[{extra}]'")
        if done.returncode != 3 or not said or "Traceback" in "".join(progress):
            wrong.append((line, done.returncode, done.stderr))
    assert not wrong
    demo = base.run("pocketrank", "demo", bundle, "notes", cwd=folder)
    assert (demo.returncode, demo.stderr.count("\n")) == (3, 1), demo.stderr
    assert "run `npm install" in demo.stderr
    assert {line.split()[0] for line in (*WORKS, *(line for line, _ in NEEDS_EXTRA), "demo")} == set(COMMANDS)
    assert (folder / "verdict.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["verdict"] == "pass"


@pytest.fixture(scope="module")
def action() -> dict:
    return yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def with_report(wheel_file: Path, tmp_path_factory: pytest.TempPathFactory, action: dict) -> CleanEnvironment:
    (install,) = (step["run"] for step in action["runs"]["steps"] if step.get("name") == "Install pocketrank")
    assert install.endswith('"${GITHUB_ACTION_PATH}[report]"')
    return CleanEnvironment(tmp_path_factory.mktemp("installed") / "report", wheel_file, extras=["report"])


def run_action(environment: CleanEnvironment, action: dict, folder: Path, **inputs: object) -> tuple[int, str, str]:
    """Run the action's own script as GitHub does; return its exit code, its outputs and the job's summary."""
    (step,) = (step for step in action["runs"]["steps"] if step.get("id") == "gate")
    defaults = {name: known.get("default", "") for name, known in action["inputs"].items()}
    values = {name: str(inputs.get(name, default)) for name, default in defaults.items()}
    variables = {}
    for name, source in step["env"].items():
        source = source.removeprefix("${{ inputs.").removesuffix(" }}")
        variables[name] = values.pop(source)
    assert set(values) == {"python"}, "every other input reaches the script"
    places = {"GITHUB_OUTPUT": folder / "output", "GITHUB_STEP_SUMMARY": folder / "summary"}
    for path in places.values():
        path.write_text("", encoding="utf-8")
    (folder / "script.sh").write_text(step["run"], encoding="utf-8")
    variables |= {name: str(path) for name, path in places.items()} | {"GITHUB_ACTIONS": "true"}
    shell = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "script.sh")
    done = environment.run(*shell, cwd=folder, environment=variables)
    assert "Traceback" not in done.stderr
    output, summary = (path.read_text(encoding="utf-8") for path in places.values())
    return done.returncode, output, f"{summary}{done.stdout}{done.stderr}"


def test_the_actions_script(with_report: CleanEnvironment, action: dict, bundle: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    inputs = {"bundle": bundle, "options": "--repetitions 1", "history": "kept releases"}
    first = run_action(with_report, action, tmp_path, **inputs, budget="kept.toml", release="v1.0")
    assert first[:2] == (0, "verdict=pass\n"), first
    assert "pass" in first[2]
    made = {path.name for path in (tmp_path / "gate").iterdir()}
    assert made == {"verdict.json", "junit.xml", "report.html", "report.json"}

    broken = run_action(with_report, action, tmp_path, **inputs, budget="broken.toml", release="refs/.v1.1; false")
    assert broken[:2] == (1, "verdict=fail\n"), broken
    assert "::error file=broken.toml" in broken[2]
    reports = sorted(path.name for path in (tmp_path / "kept releases").iterdir())
    assert reports == ["refs-.v1.1--false.json", "v1.0.json"]
    assert b"v1.0" in (tmp_path / "gate" / "history.html").read_bytes()

    absent = inputs | {"bundle": "nothing", "budget": "kept.toml", "release": "v1.2"}
    code, output, _ = run_action(with_report, action, tmp_path, **absent)
    assert (code, output) == (2, ""), "not the verdict of the step before"
    assert len(list((tmp_path / "kept releases").iterdir())) == 2


def test_the_page_of_a_benchmark(with_report: CleanEnvironment, tmp_path: Path) -> None:
    done = with_report.run("pocketrank", *f"benchmark general-english {QUICK} --html page.html".split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"</html>" in (tmp_path / "page.html").read_bytes()
