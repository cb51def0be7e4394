import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from pocketrank.pipeline.corpus import python_docs as pydocs
from pocketrank.pipeline.corpus.docstrings import MAX_BODY_CHARACTERS, make_passage, module_passages
from pocketrank.pipeline.corpus.hub import read_hub_set
from pocketrank.pipeline.corpus.python_docs import read_pydocs
from pocketrank.pipeline.corpus.sampling import SAME_QUERY
from pocketrank.pipeline.corpus.text_files import read_texts
from pocketrank.pipeline.retrieval.near_duplicates import ShingleIndex, character_shingles, first_of_each, normalise
from pocketrank.pipeline.settings import CorpusSettings
from pocketrank.runtime.errors import InputError, UnavailableError
from pocketrank.runtime.progress import NoProgress

SOURCE = '''
"""Tools to sort and to merge sequences.

Everything here works on any iterable of comparable things and keeps the order of equals.
"""
raise SystemExit("importing this file would end the test")

def merge(left, right):
    """Merge two sorted sequences into one.

    The inputs have to be sorted already; the result is a list that holds all items of both
    sequences, equal items of the left one first.

    >>> merge([1], [2])
    [1, 2]
    """

class Heap:
    """A heap that keeps its smallest item first.

    Parameters
    ----------
    items : iterable
        What the heap starts with; it is copied, so that later changes of it do not matter here.
    """
    def _hidden(self):
        """Return something that nobody should see.

        This text is long enough to be a document but its name starts with an underscore.
        """
    def pop(self):
        """Too short."""

if True:
    def merge(other):
        """Another definition of the same name follows.

        It stands in a branch and comes second, so that the first definition counts and not this one.
        """
'''


def test_docstrings_are_read_without_importing(tmp_path):
    path = tmp_path / "sequences.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = {passage.identifier: passage for passage in module_passages(path, "pkg._inner.sequences")}
    names = {"pkg._inner.sequences", "pkg._inner.sequences.merge", "pkg._inner.sequences.Heap"}
    assert set(found) == names
    merge = found["pkg._inner.sequences.merge"]
    assert merge.title == "pkg.sequences.merge"
    assert merge.summary == "Merge two sorted sequences into one."
    assert merge.body.startswith("The inputs have to be sorted already") and ">>>" not in merge.body
    assert "----" not in found["pkg._inner.sequences.Heap"].body


def test_source_that_does_not_parse_is_passed_over(tmp_path):
    path = tmp_path / "broken.py"
    path.write_bytes(b"def f(:\n\xff\0")
    assert list(module_passages(path, "broken")) == []


def test_long_bodies_are_cut_at_a_sentence_and_repeated_summaries_refused():
    sentence = "This sentence is one of many in a very long explanation of the function. "
    passage = make_passage("m.f", "Explain a thing at length.\n\n" + sentence * 40)
    assert passage is not None
    assert len(passage.body) <= MAX_BODY_CHARACTERS and passage.body.endswith("function.")
    assert make_passage("m.f", f"Explain a thing at length.\n\nExplain a thing at length. {sentence}") is None
    assert make_passage("m.f", "Short.\n\n" + sentence) is None
    assert make_passage("m.f", "Only a summary, no body at all here.") is None


SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from pocketrank.pipeline.retrieval.dataset import write_retrieval_set
from pocketrank.pipeline.corpus.python_docs import read_pydocs
from pocketrank.pipeline.settings import CorpusSettings
from pocketrank.runtime.progress import NoProgress
import pathlib
if sys.argv[1] == "reversed":
    walk = pathlib.Path.rglob
    pathlib.Path.rglob = lambda self, pattern: reversed(list(walk(self, pattern)))
found, source = read_pydocs(CorpusSettings(packages=("packaging",)), NoProgress())
print(write_retrieval_set(Path(sys.argv[2]), found))
"""


@pytest.fixture(scope="module")
def small():
    return read_pydocs(CorpusSettings(packages=("packaging",)), NoProgress())


def test_same_bytes_whatever_file_order_hash_seed_and_locale(tmp_path):
    digests = set()
    for number, (order, seed, locale) in enumerate((("plain", "1", "C"), ("reversed", "4242", "C.UTF-8"))):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale}
        command = [sys.executable, "-c", SCRIPT, order, str(tmp_path / str(number))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1 and len(digests.pop()) == 64
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "qrels/train.tsv"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_corpus_and_its_source(small):
    found, source = small
    assert list(found.documents) == sorted(found.documents)
    assert {"builtins.list.sort", "heapq.merge", "topic:assert"} <= set(found.documents)
    assert source["packages"]["packaging"][0].isdigit()
    assert sum(source["documents_by_package"].values()) == len(found.documents)
    assert not any(name.startswith(("test.", "idlelib.")) for name in found.documents)
    for query, grades in (*found.qrels["train"].items(), *found.qrels["test"].items()):
        for document in grades:
            assert found.queries[query].lower() not in found.body(document).lower()


def word_shingles(text: str) -> frozenset[str]:
    words = normalise(text).split()
    return frozenset(" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2)))


def test_no_two_documents_nearly_repeat_each_other(small):
    found, _ = small
    sets = [word_shingles(found.body(name)) for name in found.documents]
    index = ShingleIndex(sets, pydocs.SAME_DOCUMENT)
    assert all(index.matches(members) == [position] for position, members in enumerate(sets))


def test_the_first_of_near_texts_stays_as_comparing_all_pairs_says(small):
    found, _ = small
    bodies = [found.body(name) for name in list(found.documents)[:120]]
    texts = [*bodies, *(body[: len(body) * 9 // 10] for body in bodies), "", "one", "One!", "one two", ""]
    sets = [word_shingles(text) for text in texts]
    for threshold in (0.3, 0.6, 0.8, 1.0):
        kept: list[int] = []
        for position, members in enumerate(sets):
            if not any(similarity(members, sets[other]) >= threshold for other in kept):
                kept.append(position)
        assert first_of_each(texts, threshold) == kept
    assert first_of_each([], 0.8) == []


def test_no_test_query_is_repeated_anywhere(small):
    found, _ = small
    test, train = found.split_queries("test"), found.split_queries("train")
    assert len(test) == round(0.1 * len(found.queries)) and not set(test) & set(train)
    index = ShingleIndex([character_shingles(text) for text in test.values()], SAME_QUERY)
    assert not any(index.matches(character_shingles(text)) for text in train.values())
    everything = [f" {normalise(text)} " for text in found.documents.values()]
    assert not any(f" {normalise(text)} " in document for text in test.values() for document in everything)


def test_limits_are_kept():
    settings = CorpusSettings(packages=("packaging",), max_documents=120, max_test_queries=5)
    found, _ = read_pydocs(settings, NoProgress())
    assert len(found.documents) == 120 and len(found.qrels["test"]) == 5


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(UnavailableError, match="no_such_package"):
        read_pydocs(CorpusSettings(packages=("no_such_package",)), NoProgress())


def similarity(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def test_the_prefix_filter_finds_exactly_what_comparing_all_pairs_finds(small):
    found, _ = small
    sets = [character_shingles(text) for text in list(found.queries.values())[:300]]
    for threshold in (0.3, 0.5, 0.6, 1.0):
        index = ShingleIndex(sets, threshold)
        for members in sets[:150]:
            near = [position for position, other in enumerate(sets) if similarity(members, other) >= threshold]
            assert index.matches(members) == near


def texts_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "guide.md").write_text(
        textwrap.dedent("""\
            # How to renew the certificate
            Run the renewal command on the first host and copy the new file to all the others by hand.

            ## What to do when the disk is full
            Remove old logs first, then ask for a larger volume; never delete the database to get space.
            """),
        encoding="utf-8",
    )
    (folder / "plain.txt").write_text(
        "Backups are made every night. They are kept for thirty days and then removed by a timer on the server.\n",
        encoding="utf-8",
    )
    rows = [
        {"title": f"Question number {word}", "text": f"The answer about {word} is long enough to be a {word} document."}
        for word in ("apples", "bridges", "candles", "deserts", "engines", "forests", "gardens", "harbours")
    ]
    (folder / "deep" / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_plain_texts_become_passages_with_pseudo_queries(tmp_path):
    settings = CorpusSettings(source="texts", path=str(texts_folder(tmp_path)), test_fraction=0.3)
    found, source = read_texts(settings)
    assert len(found.documents) == 11 and source["files"] == ["deep/more.jsonl", "guide.md", "plain.txt"]
    assert found.queries["q:guide.md:1"] == "How to renew the certificate"
    assert found.queries["q:plain.txt:1"] == "Backups are made every night."
    assert len(found.qrels["test"]) == 3
    for query in found.qrels["test"]:  # a held-out query is not found in its own document
        document = query.removeprefix("q:")
        assert found.titles[document] == "" and found.queries[query] not in found.documents[document]
    assert read_texts(settings)[0] == found


def test_text_sources_that_hold_nothing_are_refused(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    for path, words in (("", "is empty"), (str(tmp_path / "x"), "does not exist"), (str(tmp_path), "no text")):
        with pytest.raises(InputError, match=words):
            read_texts(CorpusSettings(source="texts", path=path))


def test_the_hub_needs_a_commit_and_the_package(monkeypatch):
    with pytest.raises(InputError, match="40 hexadecimal"):
        read_hub_set(CorpusSettings(source="hub", path="a/b", revision="main"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UnavailableError, match="pip install datasets"):
        read_hub_set(CorpusSettings(source="hub", path="a/b", revision="0" * 40))


def test_a_hub_set_is_read_in_the_layout_of_mteb(monkeypatch):
    rows = {
        "corpus": {"corpus": [{"_id": 1, "title": None, "text": "red"}, {"_id": "2", "title": "B", "text": "blue"}]},
        "queries": {"queries": [{"_id": "q", "text": "colour"}]},
        "default": {"test": [{"query-id": "q", "corpus-id": "1", "score": 1.0}]},
    }
    asked = []

    def load_dataset(path, configuration, revision):
        asked.append((path, configuration, revision))
        return rows[configuration]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, __spec__=object()))
    settings = CorpusSettings(source="hub", path="a/b", revision="0123456789" * 4)
    found, source = read_hub_set(settings)
    assert found.documents == {"1": "red", "2": "B blue"} and found.qrels == {"test": {"q": {"1": 1}}}
    assert source == {"dataset": "a/b", "revision": settings.revision}
    assert {revision for _, _, revision in asked} == {settings.revision}
    rows["default"]["test"].append({"query-id": "q", "corpus-id": "3", "score": 1})
    found, _ = read_hub_set(settings)
    assert found.qrels == {"test": {"q": {"1": 1}}}
    assert found.remarks == ("judgements in 'test' left out because there is no such document: 1, 3",)
