"""Text in another script than the bundle's: a warning, once a command, with the share of unknown words."""

import json
import shutil
import subprocess

import pytest
from builders.miniature import write_bundle
from builders.tiny_recipe import REPOSITORY
from pocketrank.cli.main import main
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.text.unknown_words import WARNING_SHARE, unknown_share, unknown_warning

KNOWN, FOREIGN = "merge two sorted lists", "слияние двух списков"
SHARES = {KNOWN: 0.0, FOREIGN: 1.0, "": 0.0, "merge двух": 0.5, "merge двух списков": 2 / 3, "close 文件 file": 0.5}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("unknown") / "bundle")


@pytest.mark.parametrize("text", SHARES)
def test_shares(bundle, text):
    encoder = Encoder.open(bundle)
    assert unknown_share(encoder, [text], 1) == pytest.approx(SHARES[text])
    warning = unknown_warning(encoder, [text], 1, "the query")
    assert bool(warning) == (SHARES[text] > WARNING_SHARE) and (not warning or f"{SHARES[text]:.0%}" in warning)


def test_a_sample_is_spread_over_all_texts(bundle):
    texts = [KNOWN] * 5_000 + [FOREIGN] * 5_000
    assert unknown_share(Encoder.open(bundle), iter(texts), len(texts)) == pytest.approx(3 / 7, abs=0.02)


def test_the_page_counts_the_same_shares(bundle):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is missing; install it: apt-get install nodejs npm")
    content = json.loads((bundle / "tokenizer.json").read_text())
    content["added_tokens"] = [
        {"id": number, "content": token} for token, number in content["model"]["vocab"].items() if token.startswith("[")
    ]
    script = (
        f'import {{ makeTokenizer }} from "{REPOSITORY / "export" / "page" / "tokenizer.js"}";'
        "const { content, texts } = JSON.parse(process.argv[1]);"
        "console.log(JSON.stringify(texts.map(makeTokenizer(content, 16).unknownShare)));"
    )
    asked = json.dumps({"content": content, "texts": list(SHARES)})
    command = [node, "--input-type=module", "-e", script, asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == pytest.approx(list(SHARES.values()))


def test_the_commands_say_it_once(bundle, tmp_path, capsys):
    (tmp_path / "foreign.txt").write_text(f"{FOREIGN}\n{FOREIGN} 2\n", encoding="utf-8")
    (tmp_path / "known.txt").write_text(f"{KNOWN}\nclose the file\n", encoding="utf-8")
    (tmp_path / "set" / "qrels").mkdir(parents=True)
    lines = [{"_id": f"d{row}", "text": text} for row, text in enumerate((FOREIGN, f"{FOREIGN} два"))]
    (tmp_path / "set" / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "set" / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": FOREIGN}))
    (tmp_path / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    corpus = ["search", bundle, "--corpus"]
    for words, count in (
        (["index", bundle, tmp_path / "foreign.txt", "--out", tmp_path / "i"], 1),
        (["search", tmp_path / "i", FOREIGN, "--bundle", bundle], 1),
        (["search", tmp_path / "i", KNOWN, "--bundle", bundle], 0),
        ([*corpus, tmp_path / "known.txt", FOREIGN], 1),
        ([*corpus, tmp_path / "foreign.txt", FOREIGN, "--json"], 1),
        ([*corpus, tmp_path / "known.txt", KNOWN], 0),
        (["evaluate", bundle, tmp_path / "set", "--bootstrap", "0"], 1),
    ):
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err
        shown = capsys.readouterr()
        assert shown.err.count("of the words") == count and "warning" not in shown.out, words
