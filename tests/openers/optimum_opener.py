"""Open FOLDER with optimum: FOLDER FILE; texts as JSON on standard input, vectors and pooled token outputs out."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from optimum.onnxruntime import ORTModelForFeatureExtraction
from transformers import AutoTokenizer

folder, file = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = ORTModelForFeatureExtraction.from_pretrained(folder, subfolder="onnx", file_name=file)
vectors = []
for text in json.load(sys.stdin):
    outputs = model(**tokenizer(text, truncation=True, return_tensors="pt"))
    mean = outputs["last_hidden_state"][0].mean(dim=0)
    vectors.append((mean / mean.norm()).tolist())
json.dump(vectors, sys.stdout)
