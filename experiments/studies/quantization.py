"""Bytes, faithfulness, independence of the batch and time of every scheme, on a trained student and real texts.

Examples: python -m experiments.studies.quantization runs/pydocs
          python -m experiments.studies.quantization general-english --texts abstracts.txt --against older.onnx

Prints the Markdown tables of docs/explanation/quantization.md. Times are ratios to the first file (the fp32 one, or
that of `--against`): it and each other one take turns in one process on one thread, so that the ratio holds on a busy
machine. `--texts` has one text a line.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from pocketrank.export.check.parity import compare, spread_texts
from pocketrank.export.graph.schemes import FP32, Scheme, make_plan
from pocketrank.export.graph.stored_weights import read_stored_weights
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import open_graph
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.packaged import bundle_path
from pocketrank.runtime.text.tokenizer_file import TextTokenizer

from experiments.figures import processor

PLANS: tuple[tuple[Scheme, tuple[Scheme, ...]], ...] = (  # scheme of the table, schemes of the layers
    ("fp16", ("fp16",)),
    ("int8", ("fp32", "int7", "int7-exact")),
    ("int4", ("int7", "int7-exact", "int4")),
)
TEXTS, BATCH, LENGTHS = 500, 32, (16, 64)
RUNS = 12  # of each file in a round
INSTRUCTIONS = ("avx2", "avx512bw", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp")


def variants(weights: TransformerWeights) -> dict[str, bytes]:
    """Return every variant of a student as an ONNX file, ours and that of onnxruntime's own quantizer."""
    made = {"fp32": write_graph(weights, FP32)}
    for table, schemes in PLANS:
        for linear in schemes:
            made[f"{table} table, {linear} linear"] = write_graph(weights, make_plan(table, linear))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(made["fp32"])
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            per_channel=True,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        made["quantize_dynamic, 7 bits per channel"] = target.read_bytes()
    return made


def encode(session: Any, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the vectors of one padded batch."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]


def time_ratio(session: Any, first: Any, row: list[int], rounds: int) -> tuple[float, float]:
    """Return the time of `session` for one text over that of `first`, and the seconds of `first`.

    The two take turns alone, since more files would push one another out of the cache. Of each round the shortest run
    of either counts, and of these the median over the rounds.
    """
    shortest = np.full((rounds, 2), np.inf)
    for turn in range(rounds):
        for _ in range(RUNS):
            for side, each in enumerate((session, first)):
                started = time.perf_counter()
                encode(each, [row])
                shortest[turn, side] = min(shortest[turn, side], time.perf_counter() - started)
    seconds = np.median(shortest, axis=0)
    return float(seconds[0] / seconds[1]), float(seconds[1])


def student_of_run(run: Path) -> tuple[TransformerWeights, TextTokenizer, list[str]]:
    """Return the trained student of a finished run, its tokenizer, and queries and documents in equal parts."""
    stages = run / "stages"
    weights = read_weights(stages / "distill" / "student")

    def read(name: str) -> list[str]:
        lines = (stages / "corpus" / name).read_text(encoding="utf-8").splitlines()
        return spread_texts([json.loads(line)["text"] for line in lines], TEXTS // 2)

    texts = [*read("queries.jsonl"), *read("corpus.jsonl")]
    return weights, TextTokenizer(stages / "vocabulary" / "tokenizer.json", weights.longest), texts


def student_of_bundle(bundle: Path) -> tuple[TransformerWeights, TextTokenizer]:
    """Return the weights that the file of a bundle stores, and its tokenizer."""
    manifest = read_manifest(bundle)
    weights = read_stored_weights(bundle / "config.json", bundle / manifest.variants[manifest.default_variant].file)
    return weights, TextTokenizer(bundle / "tokenizer.json", manifest.max_length)


def processor_words() -> str:
    """Return the processor's name and the instructions that 8-bit products depend on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags = [flag for flag in INSTRUCTIONS if f" {flag}" in info]
    return f"{processor()} ({', '.join(flags)})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", help="folder of a finished `pocketrank run`, a bundle, or general-english")
    parser.add_argument("--texts", type=Path, help="one text a line; needed for a bundle")
    parser.add_argument("--against", type=Path, help="an ONNX file of the same student: times are ratios to it")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    if (Path(arguments.student) / "stages").is_dir():
        weights, tokenizer, texts = student_of_run(Path(arguments.student))
    else:
        weights, tokenizer = student_of_bundle(bundle_path(arguments.student))
        texts = []
    if arguments.texts:
        texts = spread_texts(arguments.texts.read_text(encoding="utf-8").splitlines(), TEXTS)
    if not texts:
        raise SystemExit("no texts to measure on; name a file with --texts")
    rows = tokenizer.ids(texts)
    files = {"--against": arguments.against.read_bytes()} if arguments.against else {}
    files |= variants(weights)
    sessions = {name: open_graph(data) for name, data in files.items()}
    alone = {name: np.concatenate([encode(session, [row]) for row in rows]) for name, session in sessions.items()}
    random = np.random.default_rng(0)
    vocabulary = int(weights.config["vocab_size"])
    timed = [random.integers(5, vocabulary, size).tolist() for size in LENGTHS]
    first = next(iter(files))
    base = [1e6 * time_ratio(sessions[first], sessions[first], row, arguments.rounds)[1] for row in timed]
    print(f"{processor_words()}, onnxruntime {onnxruntime.__version__}, one thread; {len(rows)} texts, of")
    print(f"{np.mean([len(row) for row in rows]):.0f} tokens on average. Times of {first}: ", end="")
    print(", ".join(f"{value:.0f} us at {size} tokens" for value, size in zip(base, LENGTHS, strict=True)))
    heads = [f"time at {size} tokens" for size in LENGTHS]
    print(f"\n| variant | bytes | cosine mean | cosine min | alone or in {BATCH} | {' | '.join(heads)} |")
    print(f"| --- |{' ---: |' * (4 + len(LENGTHS))}")
    for name, data in files.items():
        parity = compare(name, alone[name], "fp32", alone["fp32"])
        batches = [encode(sessions[name], rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
        moved = np.abs(np.concatenate(batches) - alone[name]).max()
        ratios = [time_ratio(sessions[name], sessions[first], row, arguments.rounds)[0] for row in timed]
        cells = f"{len(data):,} | {parity.cosine_mean:.5f} | {parity.cosine_min:.5f} | {moved:.0e}"
        print(f"| {name} | {cells} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


if __name__ == "__main__":
    main()
