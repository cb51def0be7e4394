"""Bytes, faithfulness and latency of every quantization scheme, on a trained student and real texts.

Example: python -m experiments.studies.quantization runs/pydocs

All variants run in one process, one thread, interleaved text by text, so that ratios hold on a busy machine. Prints the
Markdown table of docs/explanation/quantization.md.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from pocketrank.export.check.parity import compare, spread_texts
from pocketrank.export.graph.schemes import FP32, Scheme, make_plan
from pocketrank.export.graph.weights import read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.calibrate import calibrate
from tokenizers import Tokenizer

from experiments.figures import processor

PLANS: tuple[tuple[Scheme, tuple[Scheme, ...]], ...] = (  # scheme of the table, schemes of the layers
    ("fp16", ("fp16",)),
    ("int8", ("fp32", "int8", "int7", "int7-static", "int8-signed")),
    ("int4", ("int8", "int7", "int4")),
)
CALIBRATION_TEXTS = 256
INSTRUCTIONS = ("avx2", "avx512bw", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp")


def variants(student: Path, calibration: list[list[int]]) -> dict[str, bytes]:
    """Return every variant of a student as an ONNX file, ours and those of onnxruntime's own quantizer."""
    weights = read_weights(student)
    made = {"fp32": write_graph(weights, FP32)}
    for table, schemes in PLANS:
        for linear in schemes:
            plan = calibrate(make_plan(table, linear), weights, calibration)
            made[f"{table} table, {linear} linear"] = write_graph(weights, plan)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(made["fp32"])
        for name, kind, narrow, per_channel in (
            ("quantize_dynamic QUInt8", QuantType.QUInt8, False, False),
            ("quantize_dynamic QUInt8 per channel", QuantType.QUInt8, False, True),
            ("quantize_dynamic QInt8 7 bits per channel", QuantType.QInt8, True, True),
        ):
            quantize_dynamic(
                source,
                target,
                weight_type=kind,
                reduce_range=narrow,
                per_channel=per_channel,
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
            made[name] = target.read_bytes()
    return made


def session(data: bytes) -> onnxruntime.InferenceSession:
    """Open a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(opened: onnxruntime.InferenceSession, ids: list[int]) -> np.ndarray:
    """Return one text's vector."""
    inputs = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    return np.asarray(opened.run(["sentence_embedding"], inputs)[0])[0]


def latencies(opened: dict[str, onnxruntime.InferenceSession], texts: list[list[int]], rounds: int) -> dict[str, float]:
    """Return the lower quartile of each variant's microseconds, variants interleaved text by text.

    The lower quartile rather than the median: what other processes on the machine add falls on the upper half.
    """
    samples: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(rounds):
        for ids in texts:
            for name, variant in opened.items():
                started = time.perf_counter()
                run(variant, ids)
                samples[name].append(time.perf_counter() - started)
    return {name: 1e6 * statistics.quantiles(values, n=4)[0] for name, values in samples.items()}


def processor_words() -> str:
    """Return the processor's name and the instructions that 8-bit products depend on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags = [flag for flag in INSTRUCTIONS if f" {flag}" in info]
    return f"{processor()} ({', '.join(flags)})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `pocketrank run`")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    stages = arguments.run / "stages"
    tokenizer = Tokenizer.from_file(str(stages / "vocabulary" / "tokenizer.json"))
    limit = json.loads((stages / "distill" / "student" / "config.json").read_text())["max_position_embeddings"]
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)

    def read(name: str, count: int = 128) -> list[list[int]]:
        lines = (stages / name).read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        return [tokenizer.encode(text).ids for text in spread_texts(texts, count)]

    queries, documents = read("corpus/queries.jsonl"), read("corpus/corpus.jsonl")
    files = variants(stages / "distill" / "student", read("queries/training.jsonl", CALIBRATION_TEXTS))
    opened = {name: session(data) for name, data in files.items()}
    texts = queries + documents
    vectors = {name: np.stack([run(variant, ids) for ids in texts]) for name, variant in opened.items()}
    query_times = latencies(opened, queries, arguments.rounds)
    document_times = latencies(opened, documents[::4], max(2, arguments.rounds // 3))
    lengths = [statistics.median(map(len, group)) for group in (queries, documents)]
    print(f"{processor_words()}, onnxruntime {onnxruntime.__version__}, one thread; {len(texts)} texts;")
    print(f"median length: queries {lengths[0]:.0f} tokens, documents {lengths[1]:.0f}.\n")
    print("| variant | bytes | cosine mean | cosine min | score change max | query p25 us | document p25 us |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, data in files.items():
        parity = compare(name, vectors[name], "fp32", vectors["fp32"])
        cells = f"{parity.cosine_mean:.5f} | {parity.cosine_min:.5f} | {parity.score_change_max:.4f}"
        print(f"| {name} | {len(data):,} | {cells} | {query_times[name]:.0f} | {document_times[name]:.0f} |")


if __name__ == "__main__":
    main()
