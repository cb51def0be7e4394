import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders.miniature import TEACHER, write_bundle

DOCUMENTS = {
    "merge": "Merge two sorted lists into one list.",
    "open": "Open a network connection to a socket.",
    "close": "Close the file when it was read.",
    "random": "Return a random number.",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_bundle(folder / "bundle")
    lines = [json.dumps({"_id": key, "title": key, "text": text}) for key, text in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def hits(done):
    assert done.returncode == 0, done.stderr
    return [hit["id"] for hit in json.loads(done.stdout)["hits"]]


def test_index_beside_the_bundle_then_search_either(run, pocketrank):
    done = pocketrank("search", run / "bundle", "merge two sorted lists")
    assert done.returncode == 2 and "pocketrank index" in done.stderr and len(done.stderr.splitlines()) == 1
    made = pocketrank("index", run / "bundle", run / "corpus.jsonl", "--json")
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert (shown["documents"], shown["vectors"], shown["documents_by"]) == (4, "float32", "bundle")
    assert shown["count"] > 4 and shown["tokens_read"] == shown["tokens"]
    for path in (run / "bundle", run / "index"):
        assert hits(pocketrank("search", path, "merge two sorted lists", "--json"))[0] == "merge"
    done = pocketrank("search", run / "bundle", "close the file", "-k", "2")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].split()[0] == "1" and lines[0].split()[2] == "close"
    assert "4 documents, 6 passages; query encoded in" in lines[-1] and not done.stderr


def test_options_may_stand_between_the_path_and_the_query(run, pocketrank):
    words = ("--corpus", run / "corpus.jsonl", "--json")
    assert hits(pocketrank("search", run / "bundle", *words, "-k", "1", "open a network connection")) == ["open"]
    assert hits(pocketrank("search", *words, run / "bundle", "-k", "1", "close the file")) == ["close"]
    done = pocketrank("search", run / "bundle", "--json", "close the file", "and one more")
    assert done.returncode == 2 and "unrecognized arguments: and one more" in done.stderr


@pytest.mark.parametrize("vectors", ["int8", "binary"])
def test_other_vectors_and_another_place(run, pocketrank, tmp_path, vectors):
    index = tmp_path / "index"
    done = pocketrank("index", run / "bundle", run / "corpus.jsonl", "--out", index, "--vectors", vectors)
    assert done.returncode == 0 and f"in {vectors}" in done.stdout
    done = pocketrank("search", index, "random number")
    assert done.returncode == 2 and "--bundle" in done.stderr
    assert hits(pocketrank("search", index, "random number", "--bundle", run / "bundle", "--json"))[0] == "random"


def test_a_corpus_on_the_spot(run, pocketrank):
    done = pocketrank("search", run / "bundle", "open a network connection", "--corpus", run / "corpus.jsonl", "--json")
    assert hits(done)[0] == "open"


def test_another_bundle_is_refused(run, pocketrank, tmp_path):
    pocketrank("index", run / "bundle", run / "corpus.jsonl", "--out", tmp_path / "index")
    write_bundle(tmp_path / "bundle", seed=1)
    done = pocketrank("search", tmp_path / "index", "random number")
    assert done.returncode == 2 and "another model" in done.stderr and not done.stdout


def test_teacher_vectors(run, pocketrank, tmp_path):
    np.save(tmp_path / "teacher.npy", np.random.default_rng(0).normal(size=(4, TEACHER)).astype(np.float32))
    words = ("index", run / "bundle", run / "corpus.jsonl", "--out", tmp_path / "index", "--vectors-from")
    done = pocketrank(*words, tmp_path / "teacher.npy", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["documents_by"] == "teacher"
    for bad in (tmp_path / "absent.npy", run / "corpus.jsonl"):
        done = pocketrank(*words, bad)
        assert done.returncode == 2 and bad.name in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "invalid byte at 0"),
        (b"x" * 1_000_000, "shorten it"),
    ],
)
def test_bad_queries_are_one_line(run, query, message):
    command = [sys.executable, "-m", "pocketrank.cli.main", "search", str(run / "bundle"), "-"]
    done = subprocess.run(command, input=query, capture_output=True, check=False)
    error = done.stderr.decode()
    assert done.returncode == 2 and len(error.splitlines()) == 1 and not done.stdout
    assert message in error


def test_invalid_utf8_as_an_argument(run):
    command = [
        os.fsencode(sys.executable),
        b"-m",
        b"pocketrank.cli.main",
        b"search",
        os.fsencode(run / "bundle"),
        b"a\xff",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2 and b"not valid UTF-8" in done.stderr


@pytest.mark.parametrize("words", [("-k", "0"), ("--bundle", "x"), ("--corpus", "absent.jsonl")])
def test_bad_usage(run, pocketrank, words):
    done = pocketrank("search", run / "bundle", "file", *words)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_help_shows_an_example(pocketrank):
    for command in ("verify", "index", "search"):
        done = pocketrank(command, "--help")
        assert done.returncode == 0 and f"pocketrank {command} runs/pydocs/bundle" in done.stdout


def test_titles_cannot_steer_the_terminal(run, pocketrank, tmp_path):
    record = {"title": "\x1b[31mred\x07", "text": "file\x1b]0;title\x07"}
    (tmp_path / "c.jsonl").write_text(json.dumps(record))
    done = pocketrank("search", run / "bundle", "file", "--corpus", tmp_path / "c.jsonl")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\x07" not in done.stdout and "red" in done.stdout


def test_what_follows_two_dashes_is_the_query_whatever_it_looks_like(run, pocketrank):
    for words in (("--", "-x"), ("--json", "--", "-x"), ("--", run / "bundle", "--json"), (run / "bundle", "--", "-k")):
        done = pocketrank("search", "--corpus", run / "corpus.jsonl", *words)
        assert done.returncode == 0, done.stderr
        assert "close" in done.stdout
    done = pocketrank("search", "--corpus", run / "corpus.jsonl", "--", run / "bundle", "-x", "-y")
    assert done.returncode == 2 and done.stderr.endswith("unrecognized arguments: -y\n")


def test_names_that_are_not_utf8_reach_every_output(run, pocketrank, tmp_path):
    home = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        shutil.copytree(run / "bundle", home / "bundle")
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    (home / os.fsdecode(b"notes\xff")).mkdir()
    (home / os.fsdecode(b"notes\xff") / os.fsdecode(b"\xe9.txt")).write_text("Close the file.")
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "1"}

    def call(*words):
        command = [sys.executable, "-m", "pocketrank.cli.main", *words]
        return subprocess.run(command, capture_output=True, check=False, env=strict)

    made = call("index", home / "bundle", home / os.fsdecode(b"notes\xff"), "--json")
    assert made.returncode == 0 and b"not UTF-8, their bytes are shown: 1, \\xe9.txt" in made.stderr, made.stderr
    assert json.loads(made.stdout)["index"] == str(home / "index")
    found = call("search", home / "bundle", "close", "--json")
    assert [hit["id"] for hit in json.loads(found.stdout)["hits"]] == ["\\xe9.txt"]
    for words in (("inspect", home / "bundle"), ("search", home / "absent", "x")):
        done = call(*words)
        assert done.returncode in (0, 2) and b"Traceback" not in done.stderr + done.stdout


def test_what_is_left_out_of_a_folder_is_said(run, pocketrank, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("Close the file.")
    (tmp_path / "notes" / "scan.pdf").write_bytes(b"%PDF")
    for words in (("index", run / "bundle", tmp_path / "notes", "--out", tmp_path / "index"), ("search", "--corpus")):
        words = (*words, tmp_path / "notes", "close") if words[0] == "search" else words
        done = pocketrank(*words, "--json")
        assert done.returncode == 0 and "kind is not read (.pdf 1): 1, scan.pdf" in done.stderr, done.stderr
        assert json.loads(done.stdout)
    done = pocketrank("index", run / "bundle", tmp_path / "notes" / "scan.pdf", "--out", tmp_path / "other")
    assert done.returncode == 2 and "files that end in '.pdf' cannot be read" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_closed_standard_input_is_named(run):
    command = f'exec "{sys.executable}" -m pocketrank.cli.main search --corpus "{run}/corpus.jsonl" - <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "standard input is closed" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a working folder cannot be removed elsewhere")
@pytest.mark.parametrize("words", ["index ../bundle ../corpus.jsonl", "demo x y --runtime z", "run x --out y"])
def test_a_working_folder_that_is_gone_is_named(run, words):
    (run / "gone").mkdir()
    code = "import os, runpy, sys; os.rmdir(os.getcwd()); runpy.run_module('pocketrank.cli.main', run_name='__main__')"
    # -P, as a script: with the folder itself on the path, Python 3.13.0 fails within import (a SystemError).
    command = [sys.executable, "-P", "-c", code, *words.split()]
    done = subprocess.run(command, cwd=run / "gone", capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3) and len(done.stderr.splitlines()) == 1, done.stderr
