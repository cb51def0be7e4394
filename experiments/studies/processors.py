"""Check every scheme on other processors: same vectors as here, instructions per query.

Example: python -m experiments.studies.processors runs/pydocs --device raspberry-pi-3b-plus --avx2

`--device` takes boards that `pocketrank setup-emulation` prepared qemu for; `--avx2` runs this machine's own Python
under `qemu-x86_64 -cpu Haswell`, an x86 processor without VNNI (minutes). Prints a Markdown table: instructions where
the emulator counts them, and the largest difference of a coordinate and the smallest cosine to this machine.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pocketrank.devices.profile import read_profile
from pocketrank.devices.targets.base import ENVIRONMENT
from pocketrank.devices.targets.qemu import QemuTarget
from pocketrank.export.check.parity import spread_texts
from pocketrank.export.graph.schemes import Scheme, make_plan
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import encode_ids
from pocketrank.runtime.text.tokenizer_file import TextTokenizer

PLANS: tuple[tuple[Scheme, Scheme], ...] = (
    ("fp32", "fp32"),
    ("int8", "int7"),
    ("int8", "int7-exact"),
    ("int4", "int7"),
    ("int4", "int4"),
)
REPEATS = 20
TOKENS = 14  # of the query whose instructions are counted
GUEST = f"""
import json, os, sys
import numpy, onnxruntime
request = json.load(sys.stdin)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(request["file"], options, providers=["CPUExecutionProvider"])
def run(row):
    feed = {{"input_ids": numpy.array([row]), "attention_mask": numpy.ones((1, len(row)), numpy.int64)}}
    return session.run(["sentence_embedding"], feed)[0][0].tolist()
vectors = [run(row) for row in request["ids"]]
run(request["counted"])
os.getppid()
for _ in range({REPEATS}):
    run(request["counted"])
os.getppid()
print(json.dumps(vectors))
"""

Run = Callable[[Path, str], tuple[list[list[float]], float]]  # script, request -> vectors, instructions (0: unknown)


def on_haswell(script: Path, request: str) -> tuple[list[list[float]], float]:
    """Run the script with this Python on an emulated x86 processor that has AVX2 and no VNNI."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        raise SystemExit("qemu-x86_64 is not installed; install qemu-user, or leave out --avx2")
    command = [emulator, "-cpu", "Haswell", sys.executable, str(script)]
    done = subprocess.run(command, input=request, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    return json.loads(done.stdout), 0.0


def on_board(target: QemuTarget) -> Run:
    """Return the function that runs a script on an emulated ARM board."""

    def run(script: Path, request: str) -> tuple[list[list[float]], float]:
        done = target.run(script, request)
        if done.outcome != "ok":
            raise SystemExit(f"{target.profile.name}: {done.detail}")
        return json.loads(done.output), done.observed.get("instructions", 0.0) / REPEATS

    return run


def main() -> None:
    """Write the files, run them everywhere, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `pocketrank run`")
    parser.add_argument("--device", action="append", default=[], help="board to emulate; may be given several times")
    parser.add_argument("--texts", type=int, default=16, help="training texts whose vectors are compared")
    parser.add_argument("--avx2", action="store_true", help="also an emulated x86 processor without VNNI")
    arguments = parser.parse_args()
    stages = arguments.run / "stages"
    weights = read_weights(stages / "distill" / "student")
    lines = (stages / "queries" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    tokens = TextTokenizer(stages / "vocabulary" / "tokenizer.json", len(weights.positions()))
    ids = tokens.ids(spread_texts(texts[1:], arguments.texts))
    counted = [5 + position * 37 % (weights.config["vocab_size"] - 5) for position in range(TOKENS)]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "guest.py"
        script.write_text(GUEST, encoding="utf-8")
        files = {}
        for table, linear in PLANS:
            path = Path(folder) / f"{table}-{linear}.onnx"
            path.write_bytes(write_graph(weights, make_plan(table, linear)))
            files[f"{table}, {linear}"] = path
        print("| processor | table, linear | instructions per query | largest difference | smallest cosine |")
        print("| --- | --- | ---: | ---: | ---: |")

        def compare(processor: str, run: Run) -> None:
            for name, path in files.items():
                request = json.dumps({"file": str(path), "ids": ids, "counted": counted})
                vectors, instructions = run(script, request)
                here, there = encode_ids(path.read_bytes(), ids), np.array(vectors)
                figures = f"{np.abs(here - there).max():.0e} | {(here * there).sum(axis=1).min():.5f}"
                shown = f"{instructions / 1e6:.2f} M" if instructions else ""
                print(f"| {processor} | {name} | {shown} | {figures} |", flush=True)

        for device in arguments.device:
            with QemuTarget(read_profile(device)) as target:
                compare(device, on_board(target))
        if arguments.avx2:
            compare("Haswell", on_haswell)


if __name__ == "__main__":
    main()
