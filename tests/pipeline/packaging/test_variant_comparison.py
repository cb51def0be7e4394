"""Quality and speed beside every file, and what speaks against one."""

import dataclasses

import numpy as np
import pytest
from pocketrank.export.check.latency_ratio import latency_ratios
from pocketrank.pipeline.packaging.variant_comparison import (
    VariantFacts,
    card_notes,
    fact_line,
    fact_rows,
    graph_files,
    measure_variants,
    read_facts,
    with_quality,
)

FACTS = VariantFacts("model_quantized", "onnx/model_quantized.onnx", 500, 0.5, 0.999, 0.99, 0.8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"bytes_ratio": 1.1}, ["no smaller"]),
        ({"latency_ratio": 1.3}, ["slower"]),
        ({"latency_ratio": 1.01}, []),
    ],
)
def test_a_file_that_buys_nothing_is_reported(change, words):
    fact = dataclasses.replace(FACTS, **change)
    assert [any(word in finding for finding in fact.findings()) for word in words] == [True] * len(words)
    assert len(fact.findings()) == len(words)
    assert all(finding in fact_line(fact) for finding in fact.findings())
    assert dataclasses.replace(fact, name="model").findings() == []


def test_the_card_says_what_another_run_would_say_too():
    facts = [FACTS, dataclasses.replace(FACTS, latency_ratio=3.0)]
    assert card_notes(facts[:1]) == card_notes(facts[1:])
    assert "no smaller" in card_notes([dataclasses.replace(FACTS, bytes_ratio=1.0)])["model_quantized"]


def test_ranking_figures_go_beside_their_file():
    figures = {"symmetric": 0.4, "asymmetric": 0.5, "symmetric_fp32": 0.41, "bm25": 0.3}
    evaluation = {"ndcg10": {name: {"value": value} for name, value in figures.items()}}
    facts = with_quality(
        [FACTS, dataclasses.replace(FACTS, name="model"), dataclasses.replace(FACTS, name="other")],
        evaluation,
        "model_quantized",
    )
    assert [fact.ndcg10 for fact in facts] == [{"symmetric": 0.4, "asymmetric": 0.5}, {"symmetric": 0.41}, {}]
    assert "0.4000 symmetric" in fact_line(facts[0])
    assert read_facts(fact_rows(facts)) == facts


def test_the_files_of_a_real_bundle_are_measured(tiny_bundle, tiny_run):
    texts = ["install a package", "where is the cache", "resolve versions", "a wheel file"]
    facts = measure_variants(tiny_bundle, texts)
    assert [fact.name for fact in facts] == list(graph_files(tiny_bundle))
    assert facts[0].name == "model" and facts[0].latency_ratio == 1 and facts[0].cosine_min == pytest.approx(1)
    shipped = next(fact for fact in facts if fact.name == "model_quantized")
    assert shipped.bytes == (tiny_bundle / "onnx" / "model_quantized.onnx").stat().st_size
    assert 0.99 < shipped.cosine_min <= shipped.cosine_mean <= 1 and shipped.latency_ratio > 0
    assert (tiny_run / "stages" / "bundle" / "variants.json").is_file()
    assert "cosine" in (tiny_bundle / "README.md").read_text(encoding="utf-8").partition("## Files")[2]


def test_ratios_tell_a_large_graph_from_a_small_one(tmp_path):
    from builders.miniature import graph

    (tmp_path / "small.onnx").write_bytes(graph(quantized=False))
    files = {"small": tmp_path / "small.onnx", "again": tmp_path / "small.onnx"}
    ratios = latency_ratios(files, [np.arange(5, 15).tolist()] * 8, "small")
    assert ratios["small"] == 1 and 0.2 < ratios["again"] < 5
