"""A bundle that is assembled from a small student: complete, verified, openable, and the same bytes each time."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from builders.small_student import small_model, small_tokenizer
from pocketrank.export.bundle.assemble import Candidate, assemble_candidate, describe, finish_bundle
from pocketrank.export.bundle.facts import BundleFacts
from pocketrank.export.graph.schemes import FP32, make_plan
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.size.explain import explain_path
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.manifest import Figure, TeacherEntry, read_manifest, shipped_bytes
from pocketrank.runtime.verify import verify_bundle
from safetensors.numpy import save_file

TEXTS = ["merge two sorted lists", "open a network connection", "hello world " * 40, "漢字 é"]
PLAN = make_plan("int8", "int7")


def make(folder):
    """Return a finished bundle below `folder`, from the same student each time."""
    student = folder / "student"
    student.mkdir(parents=True)
    small_model(student)
    random = np.random.default_rng(1)
    projection = folder / "projection.safetensors"
    tensors = {"mean": np.zeros(40, np.float32), "matrix": random.normal(size=(40, 24)).astype(np.float32)}
    save_file(tensors, projection)
    tokenizer = small_tokenizer().to_str(pretty=True).encode()
    assemble_candidate(folder / "candidate", Candidate(read_weights(student), PLAN, tokenizer, 64, projection), TEXTS)
    facts = BundleFacts(
        name="small",
        seed=3,
        teacher=TeacherEntry("package:teacher", "0" * 64, 40),
        max_length=64,
        quantization={"model": describe(FP32), "model_quantized": describe(PLAN)},
        licences={"weights": "Apache-2.0"},
        quality={
            "ndcg10_symmetric": Figure(0.5, "bundle alone"),
            "ndcg10_retention_symmetric": Figure(0.8, "bundle alone, relative to the teacher"),
            "mrr10_teacher": Figure(0.7, "teacher"),
            "other": Figure(1.5, "by hand", "s"),
        },
        parity={"cosine_min": Figure(0.999, "4 texts")},
    )
    finish_bundle(folder / "candidate", folder / "bundle", facts, b'name = "small"\n')
    return folder / "bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    pytest.importorskip("torch")
    return make(tmp_path_factory.mktemp("bundle"))


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_check_of_a_fresh_bundle_passes(bundle):
    failed = [check for check in verify_bundle(bundle) if not check.passed]
    assert failed == []


def test_two_exports_are_byte_identical(bundle, tmp_path):
    assert hashes(make(tmp_path)) == hashes(bundle)


def test_nothing_in_the_bundle_names_this_machine(bundle):
    for path in bundle.rglob("*"):
        if path.is_file():
            assert str(bundle.parent).encode() not in path.read_bytes()


def test_manifest_and_card_say_what_was_measured(bundle):
    manifest = read_manifest(bundle)
    assert manifest.variants["model_quantized"].quantization == "int8 table, int7 linear layers"
    assert manifest.quality["ndcg10_symmetric"].value == 0.5
    assert manifest.runtime.opsets == {"": 17, "com.microsoft": 1}
    assert "com.microsoft:MatMulIntegerToFloat" in manifest.runtime.operators
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert f"{shipped_bytes(manifest):,} bytes" in card
    assert "| bundle alone | 0.5000 | 0.8000 |  |  |" in card
    assert "| teacher |  |  | 0.7000 |  |" in card
    assert "| other | 1.5 s | by hand |" in card
    assert card.startswith("---\nlicense: apache-2.0\n")


def test_the_example_in_the_card_runs_and_agrees_with_the_encoder(bundle, tmp_path):
    card = (bundle / "README.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[1].split("```")[0]
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=bundle, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    one, two = Encoder.open(bundle).encode(["one text", "another text"])
    assert float(done.stdout) == pytest.approx(float(one @ two), abs=1e-4)


def test_transformers_opens_the_tokenizer_and_reads_every_golden_text_alike(bundle):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundle)
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))
    for text, ids in zip(golden["texts"], golden["ids"], strict=True):
        assert tokenizer(text, truncation=True)["input_ids"] == ids
    assert tokenizer.model_max_length == 64
    assert set(tokenizer("one")) == {"input_ids", "attention_mask"}


def test_transformers_reads_the_configuration(bundle):
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.from_pretrained(bundle)
    assert (config.model_type, config.hidden_size, config.num_hidden_layers) == ("bert", 48, 2)


def test_mean_pooling_by_an_opener_gives_the_sentence_embedding(bundle):
    import onnxruntime

    encoder = Encoder.open(bundle, "model_quantized")
    session = onnxruntime.InferenceSession(str(bundle / "onnx" / "model_quantized.onnx"))
    for text in TEXTS:
        ids = np.array([encoder.tokenize(text)])
        tokens, embedding = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        mean = tokens[0].mean(axis=0)
        assert np.abs(mean / np.linalg.norm(mean) - embedding[0]).max() < 1e-6


def test_inspect_explains_the_whole_folder(bundle):
    explained = explain_path(bundle)
    assert explained.total == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert explained.graph_name == "onnx/model_quantized.onnx"
    assert explained.tokenizer is not None
    assert explained.tokenizer.total == (bundle / "tokenizer.json").stat().st_size


def test_a_tokenizer_with_more_tokens_than_the_table_has_rows_is_refused(tmp_path):
    pytest.importorskip("torch")
    small_model(tmp_path)
    tokenizer = small_tokenizer()
    tokenizer.add_special_tokens(["[EXTRA]"])
    with pytest.raises(InputError, match="200 rows"):
        assemble_candidate(
            tmp_path / "bundle", Candidate(read_weights(tmp_path), PLAN, tokenizer.to_str().encode(), 64), TEXTS
        )
