"""`pocketrank history` as a command."""

import json
import random

import pytest
from builders.reports import make_report, one
from pocketrank.benchmarks.records.report import write_report
from pocketrank.cli.main import main


@pytest.fixture
def folder(tmp_path):
    rng = random.Random(1)
    for name, value in (("v1.0", 1e-3), ("v1.9", 1e-3), ("v1.10", 2e-3)):
        processes = tuple(value * rng.uniform(0.99, 1.01) for _ in range(7))
        row = one("latency_p50", value, low=0.98 * value, high=1.02 * value, processes=processes)
        write_report(tmp_path / "history" / f"{name}.json", make_report(row))
    return tmp_path / "history"


def test_table_json_and_page(folder, tmp_path, capsys):
    assert main(["history", "--html", str(tmp_path / "page.html"), "--", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "v1.10 +" in printed
    assert "3 releases: v1.0, v1.9, v1.10" in printed
    assert b"prefers-color-scheme: dark" in (tmp_path / "page.html").read_bytes()
    assert main(["history", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"][0]["changed_by"] == ["v1.10"]


def test_errors_are_one_line_and_exit_2(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for words in ([], [str(folder), "--tags", "v*"], [str(folder / "v1.0.json")], ["--tags", "v*"], ["nowhere"]):
        assert main(["history", *words]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
