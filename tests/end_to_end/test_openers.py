"""Every opener gives the vectors of the bundle's golden texts: 1e-5 for fp32, and the same for quantized files.

Quantized files are held to 1e-5 too: all of these run the same graph with the same kernels on one processor, in
batches as large as their defaults are. Openers whose dependencies clash
with the factory's live in environments of their own; where one is missing its tests are skipped with the command
that makes it (`tests/openers/setup`).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.golden import read_golden

OPENERS = Path(__file__).resolve().parent.parent / "openers"
REPOSITORY = OPENERS.parent.parent
VARIANTS = ("model", "model_quantized")
EXACT = 1e-5


def environment(name):
    """Return the Python of one of the separate environments, or skip and say how it is made."""
    python = REPOSITORY / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no environment .venv-{name}; make it: tests/openers/setup {name}")
    return python


def node():
    """Return the command `node` with the packages beside it, or skip and say how they are made."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is missing; install it: apt-get install nodejs npm")
    if not (OPENERS / "node_modules").exists():
        pytest.skip("no tests/openers/node_modules; make it: tests/openers/setup node")
    return found


def run(command, texts, timeout=240):
    """Run one opener and return what it printed."""
    words = [str(word) for word in command]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        words, input=json.dumps(texts), capture_output=True, text=True, timeout=timeout, check=False, env=quiet
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def golden(tiny_bundle):
    return read_golden(tiny_bundle / "golden.json")


def agree(golden, variant, found, rows=slice(None), allowed=EXACT):
    """Hold `found` [n, d] to the golden vectors of `variant`."""
    expected = np.array(golden.variants[variant].vectors)[rows]
    assert np.abs(expected - np.array(found)).max() < allowed


@pytest.mark.parametrize("variant", VARIANTS)
def test_our_encoder(tiny_bundle, golden, variant):
    agree(golden, variant, Encoder.open(tiny_bundle, variant).encode(list(golden.texts)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_onnxruntime_and_tokenizers_alone(tiny_bundle, golden, variant):
    command = [sys.executable, OPENERS / "onnxruntime_opener.py", tiny_bundle, f"onnx/{variant}.onnx"]
    found = run(command, golden.texts)
    agree(golden, variant, found["sentence_embedding"])
    agree(golden, variant, found["mean_of_tokens"])


@pytest.mark.parametrize("bundle", ["tiny", "general-english"])
@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_the_oldest_and_newest_versions_that_are_declared(tiny_bundle, tmp_path, end, bundle):
    (tmp_path / "pocketrank").symlink_to(REPOSITORY)
    command = [environment(end), "-m", "pocketrank", "verify", tiny_bundle if bundle == "tiny" else bundle, "--json"]
    quiet = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=quiet, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["golden vectors model_quantized"]["passed"] and checks["golden token ids"]["passed"]


def test_sentence_transformers_with_pytorch(tiny_run, golden):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(tiny_run / "student"), device="cpu")
    agree(golden, "model", model.encode(list(golden.texts)))


def test_sentence_transformers_5_with_pytorch(tiny_run, golden):
    python = environment("optimum")
    command = [python, OPENERS / "sentence_transformers_opener.py", tiny_run / "student", "torch"]
    agree(golden, "model", run(command, golden.texts))


@pytest.mark.parametrize("variant", VARIANTS)
def test_sentence_transformers_with_onnx(tiny_bundle, golden, variant):
    python = environment("optimum")
    script = OPENERS / "sentence_transformers_opener.py"
    agree(golden, variant, run([python, script, tiny_bundle, "onnx", f"onnx/{variant}.onnx"], golden.texts))


@pytest.mark.parametrize("variant", VARIANTS)
def test_optimum(tiny_bundle, golden, variant):
    python = environment("optimum")
    agree(golden, variant, run([python, OPENERS / "optimum_opener.py", tiny_bundle, f"{variant}.onnx"], golden.texts))


def test_onnxruntime_mobile(tiny_bundle, golden, tmp_path):
    from pocketrank.export.graph.ort_format import to_ort_format

    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    for variant in VARIANTS:
        graph = tmp_path / "bundle" / "onnx" / f"{variant}.onnx"
        graph.with_suffix(".ort").write_bytes(to_ort_format(graph.read_bytes()).model)
        command = [sys.executable, OPENERS / "onnxruntime_opener.py", tmp_path / "bundle", f"onnx/{variant}.ort"]
        agree(golden, variant, run(command, golden.texts)["sentence_embedding"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_fastembed(tiny_bundle, golden, variant):
    python = environment("openers")
    dimension = len(golden.variants[variant].vectors[0])
    command = [python, OPENERS / "fastembed_opener.py", tiny_bundle, f"onnx/{variant}.onnx", dimension]
    agree(golden, variant, run(command, golden.texts))


@pytest.mark.parametrize(("variant", "dtype"), [("model", "fp32"), ("model_quantized", "q8")])
def test_transformers_js(tiny_bundle, golden, variant, dtype):
    found = run([node(), OPENERS / "transformers_opener.mjs", tiny_bundle, dtype], golden.texts)
    assert [tuple(ids) for ids in found["raw_ids"]] == list(golden.ids)
    agree(golden, variant, found["raw"])
    whole = []
    for row, (ids, expected) in enumerate(zip(found["pipeline_ids"], golden.ids, strict=True)):
        if tuple(ids) == expected:
            whole.append(row)
        else:  # its truncation cuts [SEP] off as well, and keeps one token more instead
            assert len(ids) == len(expected)
            assert tuple(ids[:-1]) == expected[:-1]
    assert len(whole) > len(golden.texts) / 2
    agree(golden, variant, [found["pipeline"][row] for row in whole], whole)


def test_the_tokenizer_operator_reads_english_alike_and_nothing_more(tiny_bundle, tiny_run, golden):
    """Why no variant has its tokenizer inside: the operator differs on special tokens and beyond ASCII."""
    command = [environment("openers"), OPENERS / "text_graph_opener.py", tiny_bundle, "onnx/model_quantized.onnx"]
    lines = (tiny_run / "stages" / "corpus" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    plain = [text for text in (json.loads(line)["text"] for line in lines) if text.isascii()]
    plain += [f"a{chr(code)}b" for code in range(1, 127)]
    assert run(command, plain)["ids"] == library_ids(tiny_bundle / "tokenizer.json", 64, plain)
    found = run(command, golden.texts)
    same = [row for row, ids in enumerate(found["ids"]) if tuple(ids) == golden.ids[row]]
    agree(golden, "model_quantized", [found["vectors"][row] for row in same], same)
    different = [text for row, text in enumerate(golden.texts) if row not in same]
    assert different  # when this fails the operator has become exact: offer the variant
    assert all(not text.isascii() or "[CLS]" in text for text in different)


def page_ids(tokenizer, max_length, texts):
    """Return ids by the JavaScript tokenizer of the demonstration page."""
    node_command = shutil.which("node")
    if node_command is None:
        pytest.skip("Node is missing; install it: apt-get install nodejs npm")
    return run([node_command, OPENERS / "page_tokenizer.mjs", tokenizer, max_length], texts)


def hostile_characters():
    """Return texts of words around every character of the planes that have any, but surrogates."""
    codes = [*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x30000), *range(0xE0000, 0xE0200)]
    words = [f"a{chr(code)}b" for code in codes]
    return [" ".join(words[start : start + 32]) for start in range(0, len(words), 32)]


def library_ids(tokenizer, max_length, texts):
    from tokenizers import Tokenizer

    opened = Tokenizer.from_file(str(tokenizer))
    opened.no_padding()
    opened.enable_truncation(max_length)
    return [encoding.ids for encoding in opened.encode_batch_fast(list(texts))]


def test_the_tokenizer_of_the_page_is_the_same_tokenizer(tiny_bundle, golden):
    tokenizer = tiny_bundle / "tokenizer.json"
    for length, texts in ((64, list(golden.texts)), (1024, hostile_characters())):
        found, expected = page_ids(tokenizer, length, texts), library_ids(tokenizer, length, texts)
        different = [texts[row] for row, ids in enumerate(found) if ids != expected[row]]
        assert different == []


def test_the_tokenizer_of_the_page_reads_unigram_too(tmp_path, golden, tiny_run):
    from pocketrank.pipeline.vocabulary.tokenizer_file import SPECIAL_TOKENS
    from pocketrank.pipeline.vocabulary.unigram import WORD_START
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [(f"{WORD_START}{letter}", -4.0 - number / 7) for number, letter in enumerate("aetrs")]
    pieces = [(letter, -5.0 - number / 9) for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789.,()_")]
    words = [(f"{WORD_START}{word}", -6.5 - number / 3) for number, word in enumerate(("return", "set", "of", "the"))]
    endings = [(ending, -4.4 - number / 5) for number, ending in enumerate(("ing", "er", "es", "ed", "tion"))]
    entries = [*((token, 0.0) for token in SPECIAL_TOKENS), (WORD_START, -3.3), *letters, *pieces, *words, *endings]
    made = Tokenizer(models.Unigram(entries, unk_id=1, byte_fallback=False))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    mark = pre_tokenizers.Metaspace(replacement=WORD_START, prepend_scheme="always", split=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), mark])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(list(SPECIAL_TOKENS))
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    lines = (tiny_run / "stages" / "corpus" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [*golden.texts, *(json.loads(line)["text"] for line in lines)]
    for length, asked in ((64, texts), (1024, hostile_characters()[:1000])):
        assert page_ids(path, length, asked) == library_ids(path, length, asked)


@pytest.fixture(scope="module")
def page(tiny_run, pocketrank, tmp_path_factory):
    node()
    path = tmp_path_factory.mktemp("page") / "page.html"
    corpus = tiny_run / "stages" / "corpus"
    runtime = OPENERS / "node_modules" / "onnxruntime-web"
    words = ("demo", tiny_run / "bundle", corpus, "--out", path, "--runtime", runtime, "--json")
    done = pocketrank(*words)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["bytes"] == path.stat().st_size == sum(made["parts"].values())
    assert made["documents"] == 150
    first = path.read_bytes()
    assert pocketrank(*words).returncode == 0
    assert path.read_bytes() == first
    return path


def test_onnxruntime_web_in_a_browser(page, tiny_run, golden, pocketrank):
    browser = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(browser).exists():
        pytest.skip("no Chromium; install it (apt-get install chromium) or name it by CHROMIUM")
    query = "truncate a file"
    found = run([node(), OPENERS / "page_opener.mjs", page], {"texts": golden.texts, "query": query})
    assert found["problems"] == []
    assert [request.partition(":")[0] for request in found["requests"]] == ["file", "blob"]
    assert [tuple(ids) for ids in found["ids"]] == list(golden.ids)
    agree(golden, "model_quantized", found["vectors"])
    assert found["checked"].startswith("as when it was made: ")
    done = pocketrank("search", tiny_run / "bundle", query, "--json")
    hits = json.loads(done.stdout)["hits"]
    # Vectors of documents have 8 bits in the page: the first answer and nearly all of the ten are the same.
    assert found["titles"][0] == hits[0]["title"]
    assert len(set(found["titles"]) & {hit["title"] for hit in hits}) >= 8
    assert found["opened"].strip()


def test_the_page_refuses_another_runtime(tiny_run, pocketrank, tmp_path):
    (tmp_path / "ort.wasm.bundle.min.mjs").write_text("export {}")
    words = ("demo", tiny_run / "bundle", tiny_run / "stages" / "corpus", "--out", tmp_path / "page.html")
    done = pocketrank(*words, "--runtime", tmp_path)
    assert done.returncode == 1
    assert "is not the one of onnxruntime-web@1.30.0" in done.stderr
    done = pocketrank(*words, "--runtime", tmp_path / "nowhere")
    assert done.returncode == 3
    assert "npm install --ignore-scripts onnxruntime-web@1.30.0" in done.stderr
    assert not (tmp_path / "page.html").exists()
