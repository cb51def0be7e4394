"""Rank sentences with a bundle, by onnxruntime and tokenizers alone: python load_bundle.py BUNDLE"""

import os
import sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # the wheels report usage unless told not to, before the import
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

bundle = Path(sys.argv[1])
tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
tokenizer.enable_truncation(64)
session = onnxruntime.InferenceSession(bundle / "onnx" / "model_quantized.onnx", providers=["CPUExecutionProvider"])


def embed(text: str) -> np.ndarray:
    """Return the unit vector of a text."""
    ids = tokenizer.encode(text).ids
    return session.run(["sentence_embedding"], {"input_ids": [ids], "attention_mask": [[1] * len(ids)]})[0][0]


query, *texts = "how to sort a list", "Return a sorted list.", "Open a network connection.", "Close the file."
for score, text in sorted(((float(embed(query) @ embed(text)), text) for text in texts), reverse=True):
    sys.stdout.write(f"{score:.3f}  {text}\n")
