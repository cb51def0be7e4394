"""What a hostile bundle may not do: hang, abort or fill memory before it is refused in one line."""

import itertools
import json
import math
import shutil

import pytest
from builders.miniature import tokenizer, write_bundle, write_manifest
from pocketrank.cli.main import main
from pocketrank.pipeline.vocabulary.tokenizer_file import SPECIAL_TOKENS, unigram_tokenizer, wordpiece_tokenizer
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, PocketrankError, VerificationError
from pocketrank.runtime.files import read_text
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.packaged import MODELS
from pocketrank.runtime.text.tokenizer_file import check_tokenizer, open_tokenizer
from pocketrank.runtime.verify import verify_bundle

DEEP = "[" * 100_000
DIGITS = "9" * 5_000
REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("hostile") / "bundle")


@pytest.fixture
def bundle(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "bundle")


def test_what_our_own_exporter_writes_is_opened(tmp_path):
    unigram = [("▁a", -1.0), ("▁", -2.0), ("a", -3.0), ("b", -3.0)]
    own = [
        write(content, lowercase, strip_accents)
        for lowercase, strip_accents in itertools.product((True, False), repeat=2)
        for write, content in ((wordpiece_tokenizer, ["a", "##a", "b"]), (unigram_tokenizer, unigram))
    ]
    for data in own:
        (tmp_path / "tokenizer.json").write_bytes(data)
        assert open_tokenizer(tmp_path / "tokenizer.json").encode("a b").ids[0] == SPECIAL_TOKENS.index("[CLS]")
    open_tokenizer(MODELS / "general-english" / "bundle" / "tokenizer.json")


def sequence(*parts, key="normalizers"):
    return {"type": "Sequence", key: list(parts)}


def replace(pattern, content):
    return REPLACE | {"pattern": pattern, "content": content}


BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
SINGLE = {"Sequence": {"id": "A", "type_id": 0}}
HOSTILE = {
    "doubling again and again": {"normalizer": sequence(*(replace({"String": "a"}, "aa") for _ in range(60)))},
    "one part feeds the next": {
        "normalizer": sequence(replace({"String": "a"}, "bbb"), replace({"String": "b"}, "ccc"))
    },
    "a huge replacement": {"normalizer": replace({"String": "a"}, "b" * 10_000)},
    "a regular expression": {"normalizer": replace({"Regex": "(a+)+$"}, "b")},
    "an empty pattern": {"normalizer": replace({"String": ""}, "bbb")},
    "letters put in front": {"normalizer": {"type": "Prepend", "prepend": "a" * 1_000_000}},
    "a table of its own": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "NFKC twice": {"normalizer": sequence({"type": "NFKC"}, replace({"String": "a"}, "ﷺﷺﷺ"), {"type": "NFKC"})},
    "sequences in sequences": {"normalizer": sequence(sequence(BERT))},
    "thousands of parts": {"normalizer": sequence(*([{"type": "NFKC"}] * 5_000))},
    "bytes": {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
    "a splitting expression": {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "invert": False}},
    "a long template": {"post_processor": {"single": [SINGLE] * 100_000}},
    "a token of many ids": {
        "post_processor": {"special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2] * 10**6, "tokens": ["[CLS]"]}}}
    },
    "another post-processor": {"post_processor": {"type": "Sequence", "processors": []}},
    "words of any length": {"model": {"max_input_chars_per_word": 10**9}},
    "ids of thousands of digits": {"model": {"vocab": {"a": 10**400}}},
    "negative ids": {"model": {"vocab": {"a": -1}}},
    "merges": {"model": {"type": "BPE", "vocab": {}, "merges": []}},
    "a decoder with an expression": {"decoder": {"type": "Replace", "pattern": {"Regex": "a"}, "content": "b"}},
    "an added token of megabytes": {"added_tokens": [{"id": 1, "content": "a" * 10**6, "special": True}]},
    "an empty added token": {"added_tokens": [{"id": 1, "content": "", "special": True}]},
    "an unknown section": {"plugins": ["x"]},
    "no model": {"model": None},
    "lists for objects": {"model": [], "normalizer": []},
    "no kind": {"normalizer": {"type": ["NFKC"]}},
}


def changed(content, change):
    merged = dict(content)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and "type" not in value
        merged[key] = {**merged[key], **value} if both else value
    return merged


@pytest.mark.parametrize("name", HOSTILE)
def test_other_parts_are_refused_before_the_library_sees_them(bundle, name, monkeypatch, capsys):
    content = changed(json.loads(tokenizer().to_str()), HOSTILE[name])
    with pytest.raises(ValueError) as caught:
        check_tokenizer(content)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    (bundle / "tokenizer.json").write_text(json.dumps(content))
    write_manifest(bundle)
    monkeypatch.setattr("tokenizers.Tokenizer.from_str", None)
    with pytest.raises(VerificationError, match=r"tokenizer\.json is no working tokenizer: .*(its|it|an?|the) "):
        Encoder.open(bundle)
    (bundle / "text.txt").write_text("merge two lists\n")
    for words in (["search", str(bundle), "x", "--corpus", str(bundle / "text.txt")], ["benchmark", str(bundle)]):
        assert main(words) == 1
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", [DEEP, f'{{"a": {DIGITS}}}', f'{{"a": {DEEP}', "[1e999]", "NaN", '"text"', "{}"])
@pytest.mark.parametrize("name", ["tokenizer.json", "golden.json", "manifest.json", "config.json"])
def test_deep_and_long_json_is_an_error_in_one_line(bundle, name, text, capsys):
    (bundle / name).write_text(text)
    if name != "manifest.json":
        write_manifest(bundle)
    assert main(["verify", str(bundle)]) == (0 if name == "config.json" else 1)
    capsys.readouterr()
    if name != "golden.json":
        if name == "config.json":
            (bundle / "manifest.json").unlink()
        with pytest.raises(PocketrankError) as caught:
            Encoder.open(bundle)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_000


def test_a_key_that_occurs_twice_is_refused(bundle):
    text = (bundle / "tokenizer.json").read_text()
    (bundle / "tokenizer.json").write_text(text.replace('"normalizer":', '"normalizer":null,"normalizer":', 1))
    write_manifest(bundle)
    with pytest.raises(InputError, match="a key occurs twice"):
        Encoder.open(bundle)


def test_padding_of_the_file_is_not_used(bundle):
    content = json.loads((bundle / "tokenizer.json").read_text())
    content["padding"] = {
        **{"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None},
        **{"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    }
    (bundle / "tokenizer.json").write_text(json.dumps(content))
    write_manifest(bundle)
    assert len(Encoder.open(bundle).tokenize("merge two")) == 4


@pytest.mark.parametrize("name", ["tokenizer.json", "golden.json", "manifest.json"])
def test_files_of_absurd_size_are_not_read(bundle, name):
    with (bundle / name).open("ab") as stream:
        stream.truncate(10**11)  # no disk holds it: the file is a hole
    with pytest.raises(PocketrankError, match=r"at most|instead of"):
        read_manifest(bundle)
        Encoder.open(bundle)
        read_text(bundle / name, 10**6)


def test_a_golden_text_of_megabytes_is_read_as_far_as_an_encoder_reads_it(bundle):
    golden = json.loads((bundle / "golden.json").read_text())
    golden["texts"][1] = golden["texts"][1] + " " * 10**7
    (bundle / "golden.json").write_text(json.dumps(golden))
    write_manifest(bundle)
    assert all(check.passed for check in verify_bundle(bundle))
    golden["texts"][1] = "a " * 10**7
    (bundle / "golden.json").write_text(json.dumps(golden))
    write_manifest(bundle)
    details = [check.detail for check in verify_bundle(bundle) if not check.passed]
    assert details and all(len(detail) < 1_000 for detail in details)


@pytest.mark.parametrize("limit", [0, -1, 2, 10**9, math.nan, math.inf, "512", None, [512], True])
def test_an_absurd_length_is_no_length(bundle, limit):
    (bundle / "manifest.json").unlink()
    (bundle / "config.json").write_text(json.dumps({"max_position_embeddings": limit}))
    with pytest.raises(InputError, match="max_position_embeddings"):
        Encoder.open(bundle)


@pytest.mark.parametrize("name", ["tokenizer.json", "onnx/model_quantized.onnx"])
@pytest.mark.parametrize("damage", ["flipped", "longer", "missing"])
def test_nothing_is_opened_whose_hash_is_wrong(bundle, name, damage, monkeypatch):
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flipped" else data + b"\n")
    monkeypatch.setattr("tokenizers.Tokenizer.from_str", None)
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    with pytest.raises(VerificationError, match=f"{path.name} (differs from the manifest|is missing)"):
        Encoder.open(bundle)


def test_lengths_of_the_manifest_are_bounded(bundle):
    for length in (2, 65_537, 10**12):
        with pytest.raises(ValueError, match="max_length"):
            write_manifest(bundle, max_length=length)
