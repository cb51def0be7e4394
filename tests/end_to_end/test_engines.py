"""Other engines write other graphs of the same student: the vectors are the same.

PyTorch's exporters run wherever the factory does, optimum in its own environment (`tests/openers/setup optimum`).
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from builders.processes import FORKED
from builders.torch_export import export_by_torch
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.golden import read_golden
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.verify import verify_bundle

REPOSITORY = Path(__file__).resolve().parent.parent.parent
OPTIMUM = REPOSITORY / ".venv-optimum" / "bin" / "python"


def test_files_for_mobile_are_part_of_a_verified_bundle(tiny_run, tiny_recipe, pocketrank, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    done = pocketrank(
        "run", tiny_recipe, "--out", tmp_path / "run", "--until", "bundle", "--set", 'export.formats=["ort"]'
    )
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "run" / "bundle"
    checks = {check.name: check for check in verify_bundle(bundle)}
    assert all(check.passed for check in checks.values())
    assert "operators required, all declared" in checks["graph model_mobile"].detail
    assert "golden vectors model_mobile" in checks
    assert read_manifest(bundle).variants["model_mobile"].file == "onnx/model_mobile.ort"

    path = bundle / "onnx" / "model_mobile.ort"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    failed = {check.name for check in verify_bundle(bundle) if not check.passed}
    assert {"onnx/model_mobile.ort", "graph model_mobile", "golden vectors model_mobile"} <= failed


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
def test_graphs_of_pytorch_give_the_same_vectors(tiny_run, dynamo, tmp_path):
    pytest.importorskip("onnxscript")
    # In a process of its own: the exporters change global state and warn about it.
    export = FORKED.Process(target=export_by_torch, args=(tiny_run / "student", tmp_path / "model.onnx", dynamo))
    export.start()
    export.join()
    assert export.exitcode == 0
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    golden = read_golden(tiny_run / "bundle" / "golden.json")
    for ids, expected in zip(golden.ids, golden.variants["model"].vectors, strict=True):
        row = np.array([ids])
        (found,) = session.run(["sentence_embedding"], {"input_ids": row, "attention_mask": np.ones_like(row)})
        assert np.abs(found[0] - np.array(expected)).max() < 1e-5


def test_a_run_with_optimum_gives_the_same_vectors(tiny_run, tiny_recipe, tmp_path):
    if not OPTIMUM.exists():
        pytest.skip("no environment .venv-optimum; make it: tests/openers/setup optimum")

    def export(run, engine, *more):
        words = [OPTIMUM, "-m", "pocketrank.cli.main", "run", tiny_recipe, "--until", "bundle", "--out", run]
        words += ["--set", f'export.engine="{engine}"', *more]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == 0, done.stderr[-2000:]
        assert all(check.passed for check in verify_bundle(run / "bundle"))
        return run / "bundle"

    bundle = export(tmp_path / "run", "optimum")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    again = export(tmp_path / "again", "optimum", "--overwrite", "stage:export")
    assert read_manifest(again).manifest_sha256 == read_manifest(bundle).manifest_sha256
    shutil.copytree(tmp_path / "run", tmp_path / "ours")  # the same student
    own_bundle = export(tmp_path / "ours", "pocketrank")
    texts = list(read_golden(bundle / "golden.json").texts)
    theirs, ours = (Encoder.open(folder, "model").encode(texts) for folder in (bundle, own_bundle))
    assert np.abs(theirs - ours).max() < 1e-5
    # Both round activations by one range a text; what that loses on a student is theirs as much as ours.
    cosines = [(Encoder.open(folder).encode(texts) * ours).sum(axis=1) for folder in (bundle, own_bundle)]
    assert min(rows.mean() for rows in cosines) > 0.99
    assert cosines[0].min() > cosines[1].min() - 0.005


def test_optimum_is_asked_for_where_it_is_missing(tiny_run, tiny_recipe, pocketrank, tmp_path):
    if importlib.util.find_spec("optimum") is not None:
        pytest.skip("optimum is installed here")
    shutil.copytree(tiny_run, tmp_path / "run")
    done = pocketrank("run", tiny_recipe, "--out", tmp_path / "run", "--set", 'export.engine="optimum"')
    assert done.returncode == 3
    assert "run `make optimum`" in done.stderr.splitlines()[-1]
