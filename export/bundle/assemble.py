"""Assemble the folder that is shipped: first a candidate that can be measured, then the bundle with its manifest."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import json_bytes, read_bytes, read_json, read_text, write_bytes
from ...runtime.graph_reader import GraphFacts, read_graph
from ...runtime.manifest import (
    DEFAULT,
    MANIFEST_NAME,
    REFERENCE,
    TOKENIZER_NAME,
    Manifest,
    Pairing,
    RuntimeRange,
    Variant,
    list_files,
    manifest_bytes,
    space_of,
)
from ...runtime.required_operators import SUFFIX, required_operators
from ..graph.ort_format import to_ort_format
from ..graph.schemes import FP32, Plan
from ..graph.weights import TransformerWeights
from ..graph.writer import write_graph
from .facts import BundleFacts
from .golden import write_golden
from .model_card import model_card
from .sbom import SBOM_NAME, sbom_bytes
from .sentence_transformers_folder import modules_list
from .tokenizer import compact_tokenizer, parse_tokenizer, special_tokens

MOBILE = "model_mobile"  # the default file in ORT format, with the list of operators that it needs
PROJECTION_NAME = "projection.safetensors"
ONNXRUNTIME_MIN = "1.17.0"  # gives the vectors of our graphs; 1.15 opens some and gives others
NEWER_MIN = "1.23.0"  # for graphs of other tools with a later opset or file format than 1.17 reads
NEWEST_OF_MIN = {"opset": 20, "ir": 9}


def describe(plan: Plan) -> str:
    """Say in words how a variant is quantized."""
    text = f"{plan.table} table and linear layers" if plan.table == plan.linear else ""
    text = text or f"{plan.table} table, {plan.linear} linear layers"
    return f"{text}, {len(plan.tensors)} tensors otherwise" if plan.tensors else text


@dataclass(frozen=True)
class Candidate:
    """What the files of a bundle are made from."""

    weights: TransformerWeights
    plan: Plan  # of the default variant
    tokenizer: bytes  # tokenizer.json
    max_length: int  # tokens
    projection: Path | None = None  # the file that takes teacher vectors into the student's space
    ort_format: bool = False  # the default variant in ORT format too
    graphs: Mapping[str, bytes] | None = None  # ONNX files made by another engine, by variant


def assemble_candidate(folder: Path, candidate: Candidate, texts: Sequence[str]) -> None:
    """Write everything of a bundle but what depends on its evaluation into the new folder `folder`.

    `texts` are real texts of the corpus, for the golden vectors. Raises `InputError` when tokenizer and weights do not
    belong together.
    """
    weights, graphs = candidate.weights, candidate.graphs
    compact = compact_tokenizer(candidate.tokenizer)
    _check_vocabulary(compact, weights)
    plans = {REFERENCE: FP32, DEFAULT: candidate.plan}
    for name, plan in plans.items():
        write_bytes(folder / "onnx" / f"{name}.onnx", graphs[name] if graphs else write_graph(weights, plan))
    if candidate.ort_format:
        files = to_ort_format(read_bytes(folder / "onnx" / f"{DEFAULT}.onnx"))
        write_bytes(folder / "onnx" / f"{MOBILE}.ort", files.model)
        write_bytes(folder / "onnx" / f"{MOBILE}{SUFFIX}", files.operators)
        plans[MOBILE] = candidate.plan
    write_bytes(folder / TOKENIZER_NAME, compact)
    for name, content in opener_files(weights, compact, candidate.max_length).items():
        write_bytes(folder / name, json_bytes(content))
    if candidate.projection is not None:
        write_bytes(folder / PROJECTION_NAME, read_bytes(candidate.projection))
    write_golden(folder, plans, DEFAULT, texts)


def opener_files(weights: TransformerWeights, tokenizer: bytes, max_length: int) -> dict[str, Any]:
    """Return the JSON files by which other openers recognise the folder: name -> content."""
    return {
        "config.json": {key: value for key, value in weights.config.items() if not key.startswith("_")},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **special_tokens(parse_tokenizer(tokenizer)),
        },
        "modules.json": modules_list([("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]),
        "1_Pooling/config.json": {
            "word_embedding_dimension": weights.dimension,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def finish_bundle(candidate: Path, output: Path, facts: BundleFacts, recipe: bytes) -> Manifest:
    """Make the new folder `output` from a candidate: recipe, bill of materials, card, and the manifest last.

    `recipe` is the resolved recipe as TOML. The same candidate and facts always give the same bytes.
    """
    shutil.copytree(candidate, output, dirs_exist_ok=True)
    write_bytes(output / "recipe.toml", recipe)
    graphs = {name: f"onnx/{name}.{'ort' if name == MOBILE else 'onnx'}" for name in facts.quantization}
    reads = [read_graph(output / file) for file in graphs.values() if file.endswith(".onnx")]
    operators = {name for graph in reads for name in graph.operators}
    if MOBILE in graphs:
        operators |= set(required_operators(read_text(output / "onnx" / f"{MOBILE}{SUFFIX}")))
    opsets: dict[str, int] = {}
    for graph in reads:
        opsets |= {domain: max(version, opsets.get(domain, 0)) for domain, version in graph.opsets.items()}
    dimension = reads[0].outputs[-1].shape[-1]
    if not isinstance(dimension, int):
        raise InputError(f"{output}: the graph does not say its dimension; export again")
    paired = (output / PROJECTION_NAME).exists()
    config = read_json(output / "config.json")
    bill = sbom_bytes(facts, list_files(output), config, graphs[DEFAULT], dimension)
    write_bytes(output / SBOM_NAME, bill)
    sizes = {name: entry.bytes for name, entry in list_files(output).items()}
    write_bytes(output / "README.md", model_card(facts, dimension, sizes, DEFAULT).encode("utf-8"))
    files = list_files(output)
    space = space_of(facts.teacher.sha256, files[PROJECTION_NAME].sha256) if paired else ""
    manifest = Manifest(
        name=facts.name,
        code_version=metadata.version("pocketrank"),
        seed=facts.seed,
        teacher=facts.teacher,
        dimension=dimension,
        max_length=facts.max_length,
        pooling="mean",
        default_variant=DEFAULT,
        variants={name: Variant(file, facts.quantization[name]) for name, file in graphs.items()},
        pairing=Pairing(facts.teacher.id, PROJECTION_NAME if paired else "", space),
        runtime=RuntimeRange(
            onnxruntime_min=onnxruntime_min(reads),
            opsets=dict(sorted(opsets.items())),
            operators=tuple(sorted(operators)),
        ),
        licences=dict(facts.licences),
        files=files,
        prompts=facts.prompts,
        quality=dict(facts.quality),
        parity=dict(facts.parity),
        bm25_weight=dict(facts.bm25_weight) or None,
    )
    write_bytes(output / MANIFEST_NAME, manifest_bytes(manifest))
    return manifest


def onnxruntime_min(graphs: Sequence[GraphFacts]) -> str:
    """Return the oldest ONNX Runtime that reads all of these files."""
    opset = max(graph.opsets.get("", 0) for graph in graphs)
    ir_version = max(graph.ir_version for graph in graphs)
    old = opset <= NEWEST_OF_MIN["opset"] and ir_version <= NEWEST_OF_MIN["ir"]
    return ONNXRUNTIME_MIN if old else NEWER_MIN


def _check_vocabulary(tokenizer: bytes, weights: TransformerWeights) -> None:
    content = json.loads(tokenizer)
    entries = content["model"].get("vocab", {})
    ids = list(entries.values()) if isinstance(entries, dict) else list(range(len(entries)))
    ids += [token["id"] for token in content.get("added_tokens", [])]
    rows = int(weights.config["vocab_size"])
    if not ids or max(ids) >= rows:
        raise InputError(
            f"tokenizer.json has token ids up to {max(ids, default=-1)}, the student's table has {rows} rows; "
            "distill again with this vocabulary"
        )
