"""Every text is in a passage, no passage is longer than is read, and structure decides where they end."""

import random
import re
from itertools import pairwise

import pytest
from builders.miniature import WORDS, write_bare_bundle
from pocketrank.runtime.documents.document import Document, Place
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.passages.cutter import Cutting, PassageCutter, whole_passage
from pocketrank.runtime.passages.sentences import sentences
from pocketrank.runtime.passages.structure import Span, sections


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return Encoder.open(write_bare_bundle(tmp_path_factory.mktemp("cutter") / "bundle")).tokenizer


def cut(tokenizer, text, title="", marked=True, **cutting):
    settings = {"tokens": 16, "target": 8, "overlap": 3} | cutting
    document = Document("d", title, text, marked)
    found = PassageCutter(tokenizer, cutting=Cutting(**settings)).cut(document)
    assert found.tokens == found.tokens_read
    for passage in found.passages:
        assert tokenizer.lengths([passage.full_text])[0] + tokenizer.added_tokens <= settings["tokens"]
        assert text[passage.start : passage.end] in passage.text  # of a title too long for a heading, nothing
    return found.passages


MARKED = """Before any heading.

# Lists

## Merge

Merge two lists.

- close the file
- open the file

```sh
# no heading
merge two
```

## Nothing below

# Files
Text below.

Under
-----
read text
"""


def test_sections_and_blocks():
    found = [
        (section.headings, [MARKED[block.start : block.end] for block in section.blocks])
        for section in sections(MARKED, marked=True)
    ]
    assert found == [
        ((), ["Before any heading."]),
        (("Lists",), []),
        (
            ("Lists", "Merge"),
            ["Merge two lists.", "- close the file", "- open the file", "```sh\n# no heading\nmerge two\n```"],
        ),
        (("Lists", "Nothing below"), []),
        (("Files",), ["Text below."]),
        (("Files", "Under"), ["read text"]),
    ]
    (plain,) = sections("# no heading\n\nSecond.", marked=False)
    assert plain.headings == () and len(plain.blocks) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One ends. Two (v. 1.5) ends? Three", ["One ends.", "Two (v.", "1.5) ends?", "Three"]),
        ("第一句。第二句！「第三句。」末尾", ["第一句。", "第二句！", "「第三句。」", "末尾"]),  # noqa: RUF001
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("วลีหนึ่ง วลีสอง", ["วลีหนึ่ง", "วลีสอง"]),
        ("a line that\ngoes on. New\nLine", ["a line that\ngoes on.", "New", "Line"]),
        ("| a | b |\n| c | d |", ["| a | b |", "| c | d |"]),
    ],
)
def test_sentences_of_any_script(text, expected):
    found = [text[start:end] for start, end in sentences(text, Span(0, len(text)))]
    assert found == expected


def test_passages_follow_the_structure(tokenizer):
    text = "Merge two lists.\n\nClose the file.\n\n## Files\n\nRead text from socket.\n\n## Empty"
    passages = cut(tokenizer, text, "Lists")
    assert [(passage.headings, passage.text) for passage in passages] == [
        ((), "Merge two lists.\n\nClose the file."),
        (("Files",), "Read text from socket."),
        (("Empty",), "## Empty"),
    ]
    assert passages[1].full_text == "Lists Files Read text from socket."


def test_long_blocks_are_windows_of_even_length_that_overlap(tokenizer):
    text = " ".join(f"{a} {b}." for a, b in zip(WORDS * 3, WORDS[1:] * 3, strict=False))
    passages = cut(tokenizer, text)
    lengths = tokenizer.lengths([passage.text for passage in passages])
    assert len(passages) > 4 and min(lengths) >= max(lengths) - 6
    for before, after in pairwise(passages):
        assert before.start < after.start <= before.end and before.text.endswith(".")
    assert any(after.start < before.end for before, after in pairwise(passages))
    apart = cut(tokenizer, text, overlap=0)
    assert all(after.start >= before.end for before, after in pairwise(apart))


def test_headings_that_do_not_fit_are_text(tokenizer):
    name = "open a network connection and close the file"
    passages = cut(tokenizer, f"# {name}\n\n## {name}\n\nrandom number", "Lists")
    assert " ".join(passage.text for passage in passages).count("network") == 2
    passages = cut(tokenizer, "random number", f"{name} " * 4)
    assert sum(passage.text.count("network") for passage in passages) >= 4 and passages[-1].text == "random number"


@pytest.mark.parametrize("text", ["", " \n ", "x" * 50_000, "merge " * 3000, "\n" * 5000, "a\u0301" * 9000, "`" * 999])
def test_any_text_is_cut(tokenizer, text):
    passages = cut(tokenizer, text, "Lists", target=4)
    assert passages and max(len(passage.text) for passage in passages) <= 16 * 64


def test_random_texts_lose_nothing(tokenizer):
    source = random.Random(5)
    parts = [*WORDS, "\n", "\n\n", ". ", "# ", "## x\n", "- ", "```", "| ", "。", "ก", "=====\n", "    ", "\u2028"]
    for _ in range(150):
        text = " ".join(source.choices(parts, k=source.randint(1, 120)))
        passages = cut(tokenizer, text, source.choice(["", "random number"]), target=source.randint(1, 14))
        held = " ".join(f"{passage.context} {passage.text}" for passage in passages)
        assert set(re.split(r"[#=`\s]+", text)) <= set(re.split(r"[#=`\s]+", held)) | {""}


def test_lines_of_the_file(tokenizer):
    text = "Merge two lists.\n\n## Files\n\nRead text."
    place = Place("notes.md", 3, follows=True)
    lines = [place.line_of(text, passage.start) for passage in cut(tokenizer, text, "Lists")]
    assert lines == [3, 7] and Place("c.jsonl", 9).line_of(text, 30) == 9


def test_a_whole_document_says_what_is_not_read(tokenizer):
    found = whole_passage(Document("d", "Lists", "merge " * 40), tokenizer, "", 20)
    assert (found.tokens, found.tokens_read) == (41, 14) and len(found.passages[0].text) == 20
