"""Rank sentences with a bundle, by onnxruntime and tokenizers alone: python load_bundle.py BUNDLE"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # the wheels report usage unless told not to before the import
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
tokenizer.enable_truncation(64)  # tokens; at most max_length in manifest.json
session = onnxruntime.InferenceSession(f"{sys.argv[1]}/onnx/model_quantized.onnx")

texts = ["how to sort a list", "Return a sorted list.", "Open a network connection.", "Close the file."]
vectors = []
for text in texts:
    ids = tokenizer.encode(text).ids
    vectors += session.run(["sentence_embedding"], {"input_ids": [ids], "attention_mask": [[1] * len(ids)]})

scores = [float(vector[0] @ vectors[0][0]) for vector in vectors]
for score, text in sorted(zip(scores[1:], texts[1:], strict=True), reverse=True):
    sys.stdout.write(f"{score:.3f}  {text}\n")
