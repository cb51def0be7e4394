"""Open a folder with sentence-transformers: FOLDER BACKEND [FILE]; texts as JSON on standard input, vectors out."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from sentence_transformers import SentenceTransformer

torch.set_num_threads(1)
folder, backend, *file = sys.argv[1:]
options: dict[str, object] = {"file_name": file[0], "provider": "CPUExecutionProvider"} if file else {}
model = SentenceTransformer(folder, backend=backend, device="cpu", model_kwargs=options)
vectors = model.encode(json.load(sys.stdin))
json.dump(vectors.tolist(), sys.stdout)
