import gc
import subprocess
import sys
import tracemalloc

import numpy as np
import onnx
import pytest
from builders.miniature import DIMENSION, MAX_LENGTH, graph, tokenizer, write_bare_bundle, write_manifest
from builders.tiny_recipe import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketrank.runtime import encoder as encoder_module
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, PocketrankError, VerificationError
from pocketrank.runtime.graph_reader import read_graph
from pocketrank.runtime.manifest import Prompts
from pocketrank.runtime.projection import read_float_tensors, read_projection
from safetensors.numpy import load_file, save, save_file

TEXTS = ["merge two sorted lists", "", "close the file!", "a", "open a network connection " * 9, "read text"] * 4


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return write_bare_bundle(tmp_path_factory.mktemp("encoder") / "bare")


@pytest.fixture(scope="module")
def encoder(bare):
    return Encoder.open(bare)


@pytest.fixture(scope="module")
def exact(bare):
    return Encoder.open(bare, "model")


def reference(text):
    """The mean of the table rows through the linear layer, in numpy."""
    tensors = {
        item.name: onnx.numpy_helper.to_array(item) for item in onnx.load_from_string(graph(False)).graph.initializer
    }
    made = tokenizer()
    made.enable_truncation(MAX_LENGTH)
    vector = (tensors["table"][made.encode(text).ids] @ tensors["weight"]).mean(axis=0)
    return vector / np.linalg.norm(vector)


def test_vectors_are_the_graphs_in_the_order_of_the_texts(exact):
    vectors = exact.encode(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), DIMENSION)
    np.testing.assert_allclose(vectors, [reference(text) for text in TEXTS], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("batch_tokens", [1, 20, 64, 4096])
def test_batches_do_not_change_exact_vectors(exact, batch_tokens):
    np.testing.assert_allclose(exact.encode(TEXTS, batch_tokens), exact.encode(TEXTS), atol=1e-6)


def test_a_vector_depends_on_its_text_alone_unless_batched(encoder):
    together = encoder.encode(TEXTS)
    alone = np.stack([encoder.encode([text])[0] for text in TEXTS])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1]), alone[::-1])
    batched = encoder.encode(TEXTS, batch_tokens=4096)
    assert not np.array_equal(batched, alone)  # the range of the activations is the batch's
    assert (batched * alone).sum(axis=1).min() > 0.99


def test_windows_do_not_show(encoder, monkeypatch):
    whole = encoder.encode(TEXTS)
    monkeypatch.setattr(encoder_module, "WINDOW_TEXTS", 5)
    np.testing.assert_array_equal(encoder.encode(TEXTS), whole)
    monkeypatch.setattr(encoder_module, "WINDOW_CHARACTERS", 30)
    np.testing.assert_array_equal(encoder.encode(TEXTS), whole)
    assert encoder.encode([]).shape == (0, DIMENSION)


def test_truncation_keeps_the_end_mark(encoder):
    ids = encoder.tokenize("close the file " * 50)
    end = tokenizer().token_to_id("[SEP]")
    assert len(ids) == MAX_LENGTH and ids[-1] == end and end not in ids[:-1]
    assert encoder.tokenize("") == [tokenizer().token_to_id("[CLS]"), end]


@given(st.text(alphabet=st.characters(), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_string_has_a_unit_vector(encoder, text):
    (vector,) = encoder.encode([text])
    assert np.isfinite(vector).all() and abs(np.linalg.norm(vector) - 1) < 1e-5


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfff b", "\ud83d\ude00", "\0", "a\0b", "\ufeff", "\u202e", "\U0010ffff"]
)
def test_surrogates_and_control_characters(encoder, text):
    assert np.isfinite(encoder.encode([text])).all()
    assert encoder.tokenize("a\ud800b") == encoder.tokenize("a\ufffdb")
    assert encoder.tokenize("a\0b") == encoder.tokenize("ab")


def test_a_megabyte_costs_no_more_than_its_beginning(encoder):
    for text in ("merge " * 200_000, "!" * 1_000_000, "x" * 1_000_000, " " * 1_000_000):
        ids = encoder.tokenize(text)
        assert len(ids) <= MAX_LENGTH
        assert ids == encoder.tokenize(text[: MAX_LENGTH * 128])
    full = tokenizer()
    full.enable_truncation(MAX_LENGTH)
    assert encoder.tokenize("merge two " * 100_000) == full.encode("merge two " * 1000).ids


def test_memory_beyond_the_result_does_not_grow(encoder):
    def peak(count):
        gc.collect()
        tracemalloc.start()
        for block in encoder.encode_stream(f"read file {number}" for number in range(count)):
            assert block.shape[1] == DIMENSION
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    small, large = peak(2_000), peak(12_000)
    assert large < small * 1.2 + 100_000, (small, large)


@pytest.mark.parametrize("wrong", [[None], [b"bytes"], [3], "one string"])
def test_what_is_no_list_of_texts_is_refused(encoder, wrong):
    with pytest.raises(InputError):
        encoder.encode(wrong)


def test_prompts_of_the_manifest(tmp_path):
    bundle = write_bare_bundle(tmp_path / "bundle")
    write_manifest(bundle, prompts=Prompts(query="open ", document="close "))
    encoder = Encoder.open(bundle)
    np.testing.assert_array_equal(encoder.encode_query("file"), encoder.encode(["open file"])[0])
    np.testing.assert_array_equal(encoder.encode_documents(["file"]), encoder.encode(["close file"]))


def test_unknown_variant_and_no_bundle(tmp_path, bare):
    bundle = write_manifest(write_bare_bundle(tmp_path / "bundle"))
    with pytest.raises(InputError, match="choose one of model, model_quantized"):
        Encoder.open(bundle, "model_q4")
    with pytest.raises(InputError, match="no bundle"):
        Encoder.open(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        Encoder.open(tmp_path / "absent")
    with pytest.raises(InputError, match="out of the folder"):
        Encoder.open(bare, "../../model")


@pytest.mark.parametrize("name", ["onnx/model_quantized.onnx", "tokenizer.json"])
def test_damaged_files_fail_in_one_line(tmp_path, name):
    """Nothing of onnxruntime's or tokenizers' own may come out, whatever byte is wrong."""
    bundle = write_bare_bundle(tmp_path / "bundle")
    path = bundle / name
    data = path.read_bytes()
    random = np.random.default_rng(1)
    damages = [b"", data[: len(data) // 2], b"\0" * 100, b"{}"]
    for position in random.integers(0, len(data), 150):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(random.integers(0, 8))
        damages.append(bytes(flipped))
    failures = 0
    for damaged in damages:
        path.write_bytes(damaged)
        try:
            Encoder.open(bundle).encode(["merge two lists"])
        except PocketrankError as error:
            failures += 1
            assert "\n" not in str(error) and (name in str(error) or "model" in str(error))
    assert failures >= 4


def test_token_without_a_row_in_the_table_is_reported(tmp_path):
    bundle = write_bare_bundle(tmp_path / "bundle")
    path = bundle / "tokenizer.json"
    path.write_text(path.read_text().replace('"merge":', '"other":').replace('"##a":', '"merge":100000,"##a":'))
    with pytest.raises(VerificationError, match="failed in onnxruntime"):
        Encoder.open(bundle).encode(["merge"])


def test_imports_stay_small():
    """The device's side must not pull in the factory's packages."""
    code = (
        "import sys, pocketrank.runtime.encoder, pocketrank.runtime.search.index, pocketrank.runtime.verify;"
        "heavy = {'torch', 'transformers', 'onnx', 'safetensors', 'sentence_transformers', 'scipy', 'rich'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_ranks_with_a_bundle(bare):
    example = REPOSITORY / "examples" / "load_bundle.py"
    done = subprocess.run([sys.executable, example, str(bare)], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.splitlines()[0].endswith("Return a sorted list.")


# The reader of ONNX files, against the onnx package.


def facts_by_onnx(model):
    operators: dict[str, int] = {}

    def count(graph):
        for node in graph.node:
            name = f"{node.domain}:{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
            operators[name] = operators.get(name, 0) + 1
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    count(inner)

    count(model.graph)
    return operators, {item.domain: item.version for item in model.opset_import}


def nested_model():
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    value = helper.make_tensor_value_info("y", kind, [1, None, "n"])
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "then", [], [value])
    other = helper.make_graph([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], "else", [], [value])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    inputs = [
        helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
        helper.make_tensor_value_info("x", kind, [1, None, "n"]),
        helper.make_tensor_value_info("w", kind, [2]),
    ]
    weights = [onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph([node], "g", inputs, [value], weights), opset_imports=opsets)


@pytest.mark.parametrize("model", [onnx.load_from_string(graph(True)), nested_model()], ids=["flat", "nested"])
def test_graph_reader_agrees_with_onnx(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    facts = read_graph(path)
    operators, opsets = facts_by_onnx(model)
    assert (facts.operators, facts.opsets, facts.ir_version) == (operators, opsets, model.ir_version)
    weights = {item.name for item in model.graph.initializer}
    assert [value.name for value in facts.inputs] == [v.name for v in model.graph.input if v.name not in weights]
    assert [value.name for value in facts.outputs] == [value.name for value in model.graph.output]


def test_graph_reader_reads_types_and_shapes(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(nested_model().SerializeToString())
    facts = read_graph(path)
    assert [(value.name, value.element, value.shape) for value in facts.inputs] == [
        ("c", "bool", ()),
        ("x", "float32", (1, None, "n")),
    ]


def test_graph_reader_sees_tensors_kept_outside(tmp_path):
    model = onnx.load_from_string(graph(False))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert read_graph(tmp_path / "model.onnx").external_files == ("w.bin",)


def test_graph_reader_survives_damage(tmp_path):
    data, path = nested_model().SerializeToString(), tmp_path / "model.onnx"
    random = np.random.default_rng(2)
    refused = 0
    for number in range(600):
        damaged = bytearray(data)
        for _ in range(1 + number % 3):
            damaged[random.integers(0, len(data))] = random.integers(0, 256)
        path.write_bytes(damaged[: random.integers(0, len(data) + 1)] if number % 5 == 0 else damaged)
        try:
            read_graph(path)
        except InputError as error:
            refused += 1
            assert "not a whole ONNX file" in str(error)
    assert refused > 120


def test_graph_reader_bounds_nesting(tmp_path):
    graph_bytes = b""
    for _ in range(200):  # graph { node { attribute { g: … } } }
        attribute = b"\x32" + _length(graph_bytes) + graph_bytes
        node = b"\x2a" + _length(attribute) + attribute
        graph_bytes = b"\x0a" + _length(node) + node
    (tmp_path / "m.onnx").write_bytes(b"\x3a" + _length(graph_bytes) + graph_bytes)
    with pytest.raises(InputError, match="nested more than"):
        read_graph(tmp_path / "m.onnx")


def _length(data):
    value, out = len(data), b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


# The reader of safetensors files, against the safetensors package.


def test_projection_is_read_and_applied(tmp_path, bare):
    projection = read_projection(bare / "projection.safetensors")
    tensors = load_file(bare / "projection.safetensors")
    np.testing.assert_array_equal(projection.matrix, tensors["matrix"])
    vectors = np.random.default_rng(5).normal(size=(5, len(projection.mean)))
    expected = (vectors - tensors["mean"]) @ tensors["matrix"]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(projection.apply(vectors), expected, atol=1e-5)
    assert not projection.apply(tensors["mean"][None]).any()  # a zero vector stays zero
    with pytest.raises(InputError, match="do not fit"):
        projection.apply(vectors[:, :3])
    with pytest.raises(InputError, match="not finite"):
        projection.apply(np.full_like(vectors, np.nan))


def test_safetensors_reader_agrees_with_the_package(tmp_path):
    tensors = {
        "b": np.ones((2, 3), np.float32),
        "a": np.arange(4, dtype=np.float32),
        "none": np.ones((0, 7), np.float32),
    }
    save_file(tensors, tmp_path / "t.safetensors", metadata={"made by": "a test"})
    found = read_float_tensors(tmp_path / "t.safetensors")
    assert set(found) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name], values)


def _safetensors(header, body=b"", length=None):
    return (len(header) if length is None else length).to_bytes(8, "little") + header + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        _safetensors(b"{}", length=1 << 62),
        _safetensors(b"{"),
        _safetensors(b"[]"),
        _safetensors(b"[" * 90_000),
        _safetensors(b"{}", b"left over"),
        _safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"123"),
        _safetensors(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"1234"),
        _safetensors(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}'),
        _safetensors(b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', b"1234"),
        _safetensors(b'{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}', b"1234"),
        _safetensors(b'{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}', b"12345678"),
        _safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"12345678"),
        _safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
        ),
        _safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
        ),
        save({"mean": np.ones(3, np.float64)}),
    ],
)
def test_hostile_safetensors_are_refused(tmp_path, data):
    (tmp_path / "t.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="not a safetensors file of float32"):
        read_float_tensors(tmp_path / "t.safetensors")


@pytest.mark.parametrize(
    "tensors",
    [
        {"mean": np.ones(3, np.float32)},
        {"mean": np.ones(3, np.float32), "matrix": np.ones((4, 2), np.float32)},
        {"mean": np.ones(3, np.float32), "matrix": np.full((3, 2), np.inf, np.float32)},
    ],
)
def test_what_is_no_projection_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / "p.safetensors")
    with pytest.raises(InputError):
        read_projection(tmp_path / "p.safetensors")
