"""Tokenize by the operator of onnxruntime-extensions: FOLDER FILE; texts as JSON in, ids and vectors out."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime
import onnxruntime_extensions

BERT_TOKENIZER = {
    "do_lower_case": 1,
    "do_basic_tokenize": 1,
    "strip_accents": 1,
    "tokenize_chinese_chars": 1,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "suffix_indicator": "##",
    "truncation_strategy_name": "longest_first",
}


def main() -> None:
    """Run every text through a graph of the tokenizer operator, then through the bundle's graph."""
    from onnx import TensorProto, helper

    folder, file = sys.argv[1:]
    with open(f"{folder}/manifest.json", encoding="utf-8") as stream:
        limit = json.load(stream)["max_length"]
    with open(f"{folder}/tokenizer.json", encoding="utf-8") as stream:
        vocabulary = json.load(stream)["model"]["vocab"]
    pieces = "\n".join(sorted(vocabulary, key=lambda piece: vocabulary[piece]))
    node = helper.make_node(
        "BertTokenizer", ["text"], ["ids", "types", "mask"], domain="ai.onnx.contrib",
        vocab_file=pieces.encode(), max_length=limit, **BERT_TOKENIZER,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "tokenizer",
        [helper.make_tensor_value_info("text", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["length"])],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.contrib", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    tokenizer = onnxruntime.InferenceSession(model.SerializeToString(), options)
    encoder = onnxruntime.InferenceSession(f"{folder}/{file}")
    found = {"ids": [], "vectors": []}
    for text in json.load(sys.stdin):
        (ids,) = tokenizer.run(["ids"], {"text": np.array([text], dtype=object)})
        row = ids.reshape(1, -1)
        (vector,) = encoder.run(["sentence_embedding"], {"input_ids": row, "attention_mask": np.ones_like(row)})
        found["ids"].append(row[0].tolist())
        found["vectors"].append(vector[0].tolist())
    json.dump(found, sys.stdout)


main()
