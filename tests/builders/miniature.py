"""A miniature bundle that needs no training: a table of word vectors, one linear layer, the mean, length 1.

Texts that share words are near each other, so that search can be tested for its answers. Its quantized variant
takes the range of its activations from the batch, as real ones do.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import write_bytes, write_json
from pocketrank.runtime.golden import golden_mapping, make_golden
from pocketrank.runtime.manifest import (
    FileEntry,
    Manifest,
    Pairing,
    RuntimeRange,
    TeacherEntry,
    Variant,
    list_files,
    manifest_bytes,
)
from safetensors.numpy import save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

DIMENSION, HIDDEN, TEACHER, MAX_LENGTH = 24, 32, 40, 16
SENTENCES = "merge two sorted lists; open a network connection; close the file; read text from socket; random number"
WORDS = SENTENCES.replace(";", "").split()
OPERATORS = (
    *("Cast", "Div", "DynamicQuantizeLinear", "Gather", "LpNormalization", "MatMul", "MatMulInteger", "Mul"),
    *("ReduceSum", "Squeeze", "Unsqueeze"),
)


def vocabulary() -> dict[str, int]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    pieces += [*"!,.;'", *(word for word in dict.fromkeys(WORDS) if word not in letters)]
    return {piece: number for number, piece in enumerate(pieces)}


def tokenizer() -> Tokenizer:
    vocab = vocabulary()
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [(name, vocab[name]) for name in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    return made


def graph(quantized: bool, seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    table = random.normal(size=(len(vocabulary()), HIDDEN)).astype(np.float32)
    table[:5] *= 0.3
    weight = (random.normal(size=(HIDDEN, DIMENSION)) / 6).astype(np.float32)
    nodes, tensors = [], {"table": table, "axis1": np.array([1]), "axis2": np.array([2])}
    nodes.append(helper.make_node("Gather", ["table", "input_ids"], ["hidden"]))
    if quantized:
        scale = np.float32(np.abs(weight).max() / 127)
        tensors |= {"codes": (np.rint(weight / scale) + 128).astype(np.uint8), "zero": np.uint8(128), "scale": scale}
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["hidden"], ["q", "q_scale", "q_zero"]),
            helper.make_node("MatMulInteger", ["q", "codes", "q_zero", "zero"], ["product"]),
            helper.make_node("Cast", ["product"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["q_scale", "scale"], ["both"]),
            helper.make_node("Mul", ["float", "both"], ["last_hidden_state"]),
        ]
    else:
        tensors["weight"] = weight
        nodes.append(helper.make_node("MatMul", ["hidden", "weight"], ["last_hidden_state"]))
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axis1"], ["row"]),
        helper.make_node("MatMul", ["row", "last_hidden_state"], ["sum"]),
        helper.make_node("ReduceSum", ["row", "axis2"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean3"]),
        helper.make_node("Squeeze", ["mean3", "axis1"], ["mean"]),
        helper.make_node("LpNormalization", ["mean"], ["sentence_embedding"], axis=1, p=2),
    ]
    shape = ["batch", "length"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, DIMENSION]),
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", DIMENSION]),
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    made = helper.make_graph(nodes, "miniature", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_bare_bundle(folder: Path, seed: int = 0) -> Path:
    """Write a folder without manifest that `Encoder.open` takes."""
    write_bytes(folder / "onnx" / "model.onnx", graph(quantized=False, seed=seed))
    write_bytes(folder / "onnx" / "model_quantized.onnx", graph(quantized=True, seed=seed))
    write_bytes(folder / "tokenizer.json", tokenizer().to_str().encode())
    write_json(folder / "config.json", {"max_position_embeddings": MAX_LENGTH})
    random = np.random.default_rng(seed)
    tensors = {
        "mean": random.normal(size=TEACHER).astype(np.float32),
        "matrix": random.normal(size=(TEACHER, DIMENSION)).astype(np.float32),
    }
    write_bytes(folder / "projection.safetensors", save(tensors))
    return folder


def write_bundle(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a whole bundle; `changes` replace fields of its manifest."""
    (folder / "manifest.json").unlink(missing_ok=True)  # an older one would list other files
    write_bare_bundle(folder, seed)
    encoders = {name: Encoder.open(folder, name) for name in ("model", "model_quantized")}
    texts = ["merge two sorted lists", "open a network connection", "", "Ünïcode, numbers 123!"]
    golden = make_golden(encoders, "model_quantized", texts, tolerance=1e-4)
    write_json(folder / "golden.json", golden_mapping(golden))
    return write_manifest(folder, **changes)


def write_manifest(folder: Path, **changes: Any) -> Path:
    """Write a manifest that lists the files as they are now."""
    (folder / "manifest.json").unlink(missing_ok=True)
    files: dict[str, FileEntry] = list_files(folder)
    fields: dict[str, Any] = {
        "name": "miniature",
        "code_version": "0.1.0",
        "seed": 0,
        "teacher": TeacherEntry(id="none", sha256="0" * 64, dimension=TEACHER),
        "dimension": DIMENSION,
        "max_length": MAX_LENGTH,
        "pooling": "mean",
        "default_variant": "model_quantized",
        "variants": {
            "model": Variant("onnx/model.onnx", "fp32"),
            "model_quantized": Variant("onnx/model_quantized.onnx", "int8"),
        },
        "pairing": Pairing("none", "projection.safetensors"),
        "runtime": RuntimeRange("1.17", {"": 15}, OPERATORS),
        "licences": {"weights": "Apache-2.0"},
        "files": files,
    }
    write_bytes(folder / "manifest.json", manifest_bytes(Manifest(**{**fields, **changes})))
    return folder
