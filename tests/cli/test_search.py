import json
import os
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
    assert (shown["count"], shown["vectors"], shown["documents_by"]) == (4, "float32", "bundle")
    for path in (run / "bundle", run / "index"):
        assert hits(pocketrank("search", path, "merge two sorted lists", "--json"))[0] == "merge"
    done = pocketrank("search", run / "bundle", "close the file", "-k", "2")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].split()[0] == "1" and lines[0].split()[2] == "close"
    assert "4 documents; query encoded in" in lines[-1] and not done.stderr


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
