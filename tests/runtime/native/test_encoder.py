"""The C library gives the vectors of ONNX Runtime, for every kind of bundle that is written."""

import random
import subprocess
import sys
from typing import get_args

import numpy as np
import onnx
import pytest
from builders.miniature import DIMENSION, write_bare_bundle, write_bundle, write_manifest
from builders.small_student import small_model, small_tokenizer
from onnx import TensorProto, helper
from pocketrank.export.graph.schemes import Plan, Scheme, make_plan
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, VerificationError
from pocketrank.runtime.files import write_bytes, write_json
from pocketrank.runtime.golden import read_golden
from pocketrank.runtime.manifest import Prompts
from pocketrank.runtime.native.binding import NativeEncoder
from pocketrank.runtime.packaged import MODELS

pytestmark = pytest.mark.usefixtures("native_library")

TEXTS = ["merge two sorted lists", "", "open a network connection!", "Ünïcode é 漢 " * 9, "a " * 200, "x"]
SCHEMES = get_args(Scheme)


def cosines(one, two):
    one, two = np.asarray(one, float), np.asarray(two, float)
    return (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)


def write_folder(folder, data):
    """Write a folder that both encoders open."""
    write_bytes(folder / "onnx" / "model_quantized.onnx", data)
    write_bytes(folder / "tokenizer.json", small_tokenizer().to_str().encode())
    write_json(folder / "config.json", {"max_position_embeddings": 64})
    return folder


def both(folder, texts=TEXTS):
    return NativeEncoder.open(folder).encode(texts), Encoder.open(folder).encode(texts)


def test_golden_vectors_of_the_general_student():
    bundle = MODELS / "general-english" / "bundle"
    golden, encoder = read_golden(bundle / "golden.json"), NativeEncoder.open(bundle)
    found = encoder.encode(golden.texts)
    assert [tuple(ids) for ids in encoder.tokenizer.ids(golden.texts)] == list(golden.ids)
    # 0.99999 with AVX-512, 0.9998 with AVX2: a code of 8 bits that flips moves a vector.
    assert cosines(found, np.array(golden.variants["model_quantized"].vectors)).min() > 0.9995
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    assert (found == encoder.encode(golden.texts)).all()


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    small_model(folder, hidden=64)
    return read_weights(folder)


@pytest.mark.parametrize(
    ("table", "linear"), [*(("int4", scheme) for scheme in SCHEMES), *((scheme, "fp32") for scheme in SCHEMES)]
)
def test_every_scheme_of_the_writer(student, tmp_path, table, linear):
    try:
        data = write_graph(student, make_plan(table, linear))
    except InputError as error:
        pytest.skip(f"not offered: {error}")
    found, expected = both(write_folder(tmp_path / "bundle", data))
    # Sums in another order flip a code of 8 bits here and there; without codes nothing but rounding differs.
    assert cosines(found, expected).min() > (0.999 if linear.startswith("int") else 0.9999999)
    if linear in ("fp32", "fp16"):
        assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_every_activation(tmp_path, act):
    small_model(tmp_path / "student", act)
    found, expected = both(write_folder(tmp_path / "bundle", write_graph(read_weights(tmp_path / "student"))))
    assert np.abs(found - expected).max() < 1e-6


def test_low_rank_token_weights_static_and_the_first_token_alone(student, tmp_path):
    weights, drawn = student, np.random.default_rng(5)
    rows = drawn.normal(size=(200, 8)).astype(np.float32)
    factored = weights.tensors | {"embeddings.word_embeddings.weight": rows}
    factored["embeddings.word_factor.weight"] = drawn.normal(size=(64, 8)).astype(np.float32)
    factored["token_weights"] = drawn.uniform(0.2, 2, 200).astype(np.float32)
    static = {"embeddings.word_embeddings.weight": drawn.normal(size=(200, 64)).astype(np.float32)}
    config = weights.config | {"num_hidden_layers": 0}
    graphs = {
        "factored": write_graph(TransformerWeights(weights.config, factored)),
        "factored int7": write_graph(TransformerWeights(weights.config, factored), make_plan("int8", "int7")),
        "static": write_graph(TransformerWeights(config, static)),
        "static int8": write_graph(TransformerWeights(config, static), Plan(table="int8", vector="fp16")),
        "first": write_graph(weights, pooling="cls"),
    }
    for name, data in graphs.items():
        found, expected = both(write_folder(tmp_path / name, data))
        assert cosines(found, expected).min() > (0.999 if "int7" in name else 0.9999999), name


def test_large_matrices_are_widened_where_they_are_used(student, tmp_path):
    """Half precision, and codes of linear layers that are multiplied as floats."""
    weights, drawn = student, np.random.default_rng(6)
    table = drawn.normal(size=(200, 1600)).astype(np.float32)
    tensors = {"embeddings.word_embeddings.weight": table}
    tensors["projection.weight"] = drawn.normal(size=(200, 1600)).astype(np.float32)
    config = weights.config | {"num_hidden_layers": 0, "hidden_size": 1600}
    plans = [make_plan("fp16", "fp16")]
    plans += [make_plan("fp16", scheme) for scheme in ("int7-exact", "int7-static") if scheme in SCHEMES]
    for number, plan in enumerate(plans):
        try:
            data = write_graph(TransformerWeights(config, tensors), plan)
        except InputError:  # a range that was not measured
            continue
        found, expected = both(write_folder(tmp_path / str(number), data))
        assert np.abs(found - expected).max() < 1e-6


def test_a_bundle_with_manifest_prompts_and_both_variants(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    write_manifest(bundle, prompts=Prompts(query="open ", document="the "))
    texts = ["merge two sorted lists", "close the file", ""]
    for variant in ("model", "model_quantized"):
        mine, theirs = NativeEncoder.open(bundle, variant), Encoder.open(bundle, variant)
        assert mine.dimension == theirs.dimension == DIMENSION
        assert cosines(mine.encode_queries(texts), theirs.encode_queries(texts)).min() > 0.99999
        assert cosines(mine.encode_documents(texts), theirs.encode_documents(texts)).min() > 0.99999
        assert mine.tokenize("merge [SEP]") == theirs.tokenize("merge [SEP]")
        assert mine.model_sha256 == theirs.model_sha256
    with pytest.raises(InputError, match="no variant"):
        NativeEncoder.open(bundle, "other")


def test_the_library_is_small(native_library):
    """It is stripped when it is built; the promise is 200 kB."""
    assert native_library.stat().st_size < 200_000


def test_it_imports_neither_onnxruntime_nor_tokenizers(tmp_path, native_library):
    bundle = write_bundle(tmp_path / "bundle")
    code = (
        "import sys; from pocketrank.runtime.native.binding import NativeEncoder; "
        f"print(NativeEncoder.open({str(bundle)!r}).encode_query('a b').shape, "
        "'onnxruntime' in sys.modules, 'tokenizers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [f"({DIMENSION},)", "False", "False"], done.stderr


def test_graphs_that_are_not_ours_are_refused_by_name(tmp_path):
    folder = write_bare_bundle(tmp_path / "bundle")
    path = folder / "onnx" / "model_quantized.onnx"
    model = onnx.load(path)
    model.graph.node[0].op_type = "Conv"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(VerificationError, match="the operator 'Conv', which is not known here"):
        NativeEncoder.open(folder)
    shape = ["batch", "length"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["input_ids", "input_ids"], ["sentence_embedding"])],
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", 4])],
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(VerificationError, match="looks up a row that is not there"):
        NativeEncoder.open(folder).encode(["a"])


def test_damaged_graphs_are_refused_or_run_but_never_left(tmp_path):
    folder = write_bare_bundle(tmp_path / "bundle")
    path = folder / "onnx" / "model_quantized.onnx"
    data, drawn, refused = path.read_bytes(), random.Random(4), 0
    for attempt in range(300):
        damaged = bytearray(data)
        for _ in range(drawn.randrange(1, 4)):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        path.write_bytes(damaged[: drawn.randrange(len(damaged))] if attempt % 3 == 0 else damaged)
        try:
            assert NativeEncoder.open(folder).encode(["merge two", ""]).shape == (2, DIMENSION)
        except VerificationError:
            refused += 1
    assert refused > 100
