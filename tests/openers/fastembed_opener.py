"""Open FOLDER with fastembed as a model of one's own: FOLDER FILE DIMENSION; texts as JSON in, vectors out."""

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

folder, file, dimension = sys.argv[1:]
TextEmbedding.add_custom_model(
    model="pocketrank/bundle",
    pooling=PoolingType.MEAN,
    normalization=True,
    sources=ModelSource(hf="pocketrank/bundle"),
    dim=int(dimension),
    model_file=file,
)
model = TextEmbedding("pocketrank/bundle", specific_model_path=folder, threads=1)
vectors = [vector.tolist() for vector in model.embed(json.load(sys.stdin))]
json.dump(vectors, sys.stdout)
