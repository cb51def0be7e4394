"""Open FOLDER with onnxruntime and tokenizers alone: FOLDER FILE; texts as JSON in, both kinds of vectors out."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder, file = sys.argv[1:]
with open(f"{folder}/manifest.json", encoding="utf-8") as stream:
    manifest = json.load(stream)
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.enable_truncation(manifest["max_length"])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
if file.endswith(".ort"):  # such a file is optimised when it is made, and small runtimes cannot do it again
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(f"{folder}/{file}", options)
found = {"sentence_embedding": [], "mean_of_tokens": []}
for text in json.load(sys.stdin):
    ids = tokenizer.encode(text).ids
    tokens, vectors = session.run(
        ["last_hidden_state", "sentence_embedding"], {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}
    )
    mean = tokens[0].mean(axis=0)
    found["sentence_embedding"].append(vectors[0].tolist())
    found["mean_of_tokens"].append((mean / np.linalg.norm(mean)).tolist())
json.dump(found, sys.stdout)
