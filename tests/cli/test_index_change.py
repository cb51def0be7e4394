import json

import pytest
from builders.miniature import write_bundle
from pocketrank.cli.main import build_parser, main


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "bundle")
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, text in {"merge": "merge two sorted lists", "close": "close the file", "read": "read text"}.items():
        (notes / f"{name}.txt").write_text(f"{name}\n{text}", encoding="utf-8")
    assert main(["index", str(tmp_path / "bundle"), str(notes)]) == 0
    return tmp_path


def test_an_index_follows_its_folder(folder, capsys):
    index, notes = str(folder / "index"), folder / "notes"
    capsys.readouterr()
    (notes / "close.txt").write_text("close\nclose the socket", encoding="utf-8")
    (notes / "read.txt").unlink()
    (notes / "open.txt").write_text("open\nopen a connection", encoding="utf-8")
    assert main(["index", "sync", index, str(notes)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == ["+ open.txt", "~ close.txt", "- read.txt"]
    assert shown[3].startswith("1 added, 1 changed, 1 removed; 2 documents encoded in ")
    assert main(["index", "sync", index, str(notes), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["changed"], again["removed"], again["encoded"]) == ([], [], [], 0)
    assert main(["search", index, "close the socket", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["id"] == "close.txt"
    assert main(["index", "remove", index, "--id", "open.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == ["open.txt"]
    assert main(["index", "add", index, str(notes), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == ["open.txt"]
    assert main(["verify", index]) == 0


def test_what_cannot_be_changed_is_refused(folder, capsys):
    index = str(folder / "index")
    assert main(["index", "remove", index]) == 2
    assert "nothing to remove" in capsys.readouterr().err
    assert main(["index", "sync", str(folder / "notes"), str(folder / "notes")]) == 2
    assert "is no index" in capsys.readouterr().err
    (folder / "bundle").rename(folder / "elsewhere")
    assert main(["index", "sync", index, str(folder / "notes")]) == 2
    assert "--bundle" in capsys.readouterr().err


def test_making_needs_no_action():
    for words in (["b", "n"], ["--json", "b", "n"], ["make", "b", "n"]):
        assert build_parser("index").parse_args(["index", *words]).action == "make"
    assert build_parser("index").parse_args(["index", "sync", "i", "n"]).action == "sync"
