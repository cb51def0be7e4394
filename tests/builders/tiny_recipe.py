"""A recipe whose run ends within a minute, and where things are."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("POCKETRANK_DATA", REPOSITORY.parent / "shared" / "data"))

TINY_RECIPE = """\
name = "tiny"

[corpus]
source = "pydocs"
packages = ["pip"]
max_documents = 150
max_test_queries = 30

[queries]
max_texts = 400

[vocabulary]
candidates = [512, 640]
strip_accents = true

[teacher]
dimension = 32

[student]
layers = 1
hidden = 32
heads = 2
intermediate = 64
max_length = 64
initialise = "teacher"    # not from the shipped general student: another one must not move what tests expect

[distill]
steps = 60
batch_texts = 16
warmup_steps = 5
learning_rate = 2e-3
checkpoint_seconds = 1

[evaluate]
bootstrap = 50

[benchmark]
repetitions = 1
min_seconds = 0.1
min_queries = 60

[gate]
budget = "budget.toml"
"""

TINY_BUDGET = """\
[bundle]
shipped_bytes = "300 KB"
"""

Command = Callable[..., subprocess.CompletedProcess[str]]
