import json
import os
import shutil

import numpy as np
import onnx
import pytest
from builders.miniature import graph, write_bundle, write_manifest
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.manifest import FileEntry, RuntimeRange, list_files
from pocketrank.runtime.verify import verify_bundle


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("verify") / "bundle")


@pytest.fixture
def bundle(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "bundle")


def failures(bundle):
    return {check.name: check.detail for check in verify_bundle(bundle) if not check.passed}


def test_a_whole_bundle_passes_every_check(whole):
    checks = verify_bundle(whole)
    assert all(check.passed for check in checks), failures(whole)
    names = {check.name for check in checks}
    assert {"graph model", "graph model_quantized", "golden vectors model", "golden token ids"} <= names
    assert {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()} <= names


def test_a_flipped_byte_in_any_file_is_caught_and_named(bundle):
    random = np.random.default_rng(0)
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for position in {0, len(data) - 1, *random.integers(0, len(data), 6).tolist()}:
            damaged = bytearray(data)
            damaged[position] ^= 1 << int(random.integers(0, 8))
            path.write_bytes(damaged)
            found = failures(bundle) if path.name != "manifest.json" else _manifest_failure(bundle)
            assert path.relative_to(bundle).as_posix() in found, (path, position)
            path.write_bytes(data)
    assert not failures(bundle)


def _manifest_failure(bundle):
    (check,) = verify_bundle(bundle)
    return {} if check.passed else {check.name: check.detail}


@pytest.mark.parametrize("name", ["tokenizer.json", "golden.json", "onnx/model.onnx", "config.json", "manifest.json"])
def test_a_missing_file_is_caught(bundle, name):
    (bundle / name).unlink()
    found = failures(bundle)
    assert name in found.get("missing files", "") or name in found


def test_a_renamed_file_is_missing_and_extra(bundle):
    (bundle / "config.json").rename(bundle / "Config.json")
    found = failures(bundle)
    assert (found["missing files"], found["extra files"]) == ("config.json", "Config.json")


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "onnx/model_other.onnx", "sub/deep/file"])
def test_an_extra_file_is_caught(bundle, name):
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("x")
    assert failures(bundle) == {"extra files": name}


def test_what_a_file_system_or_a_hub_adds_is_no_part_of_a_bundle(bundle):
    (bundle / "lost+found").mkdir()
    (bundle / ".gitattributes").write_text("*.onnx filter=lfs")
    assert not failures(bundle)
    (bundle / "onnx" / "lost+found").mkdir()
    assert failures(bundle)


def test_an_empty_folder_is_caught(bundle):
    (bundle / "empty").mkdir()
    assert failures(bundle) == {"folders that are links, and special files": "empty/ (empty)"}


def test_links_to_files_are_followed_and_others_are_caught(bundle, tmp_path):
    shutil.move(bundle / "config.json", tmp_path / "outside.json")
    (bundle / "config.json").symlink_to(tmp_path / "outside.json")
    assert not failures(bundle)
    (bundle / "loop").symlink_to(bundle)
    (bundle / "nowhere").symlink_to(tmp_path / "absent")
    assert failures(bundle) == {"folders that are links, and special files": "loop, nowhere"}
    (tmp_path / "outside.json").write_text("{}")
    assert "bytes instead of" in failures(bundle)["config.json"]


def test_a_pipe_does_not_hang(bundle):
    os.mkfifo(bundle / "pipe")
    assert failures(bundle) == {"folders that are links, and special files": "pipe"}


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname", "a\\..\\b", "C:/x"])
def test_a_listed_path_that_leaves_the_folder_is_caught(bundle, name, tmp_path):
    (tmp_path / "outside.json").write_text("{}")
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = manifest["files"]["config.json"]
    write_manifest(bundle, files={**list_files(bundle), name: FileEntry(**entry)})
    assert name in failures(bundle)["missing files"]


def rewrite(bundle, name, data, **changes):
    """Change a file and the manifest with it, as somebody who means it would."""
    (bundle / name).write_bytes(data)
    write_manifest(bundle, **changes)


def test_an_undeclared_operator_is_caught(bundle):
    model = onnx.load(bundle / "onnx" / "model.onnx")
    model.graph.node[-1].input[0] = "bent"
    model.graph.node.insert(len(model.graph.node) - 1, onnx.helper.make_node("Sin", ["mean"], ["bent"]))
    rewrite(bundle, "onnx/model.onnx", model.SerializeToString())
    found = failures(bundle)
    assert "does not declare: Sin" in found["graph model"]
    assert "largest difference" in found["golden vectors model"]


def test_a_newer_opset_is_caught(bundle):
    model = onnx.load(bundle / "onnx" / "model.onnx")
    model.opset_import[0].version = 17
    rewrite(bundle, "onnx/model.onnx", model.SerializeToString())
    assert "imports ai.onnx opset 17, the manifest declares 15" in failures(bundle)["graph model"]


def test_other_inputs_and_outputs_are_caught(bundle):
    model = onnx.load(bundle / "onnx" / "model.onnx")
    del model.graph.output[0]
    rewrite(bundle, "onnx/model.onnx", model.SerializeToString())
    assert "outputs are" in failures(bundle)["graph model"]


def test_tensors_kept_outside_the_file_are_caught(bundle, tmp_path):
    model = onnx.load_from_string(graph(False))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    rewrite(bundle, "onnx/model.onnx", (tmp_path / "m.onnx").read_bytes())
    found = failures(bundle)
    assert "keeps tensors outside the file (w.bin)" in found["graph model"]
    assert "does not open" in found["golden vectors model"]


def test_other_weights_fail_the_replay_only(bundle):
    rewrite(bundle, "onnx/model_quantized.onnx", graph(quantized=True, seed=1))
    assert set(failures(bundle)) == {"golden vectors model_quantized"}


@pytest.mark.parametrize("key", ["model", "scores"])
def test_the_tolerance_decides(bundle, key):
    golden = json.loads((bundle / "golden.json").read_text())
    if key == "scores":
        golden["scores"][0][1] += 2e-4
    else:
        golden["variants"][key]["vectors"][0][0] += 2e-4
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    name = "model_quantized" if key == "scores" else key
    assert list(failures(bundle)) == [f"golden vectors {name}"]
    golden["tolerance"][key] = 3e-4
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    assert not failures(bundle)


def test_other_token_ids_are_caught(bundle):
    golden = json.loads((bundle / "golden.json").read_text())
    golden["ids"][1][1] += 1
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    assert "text 1 ('open a network connection')" in failures(bundle)["golden token ids"]


@pytest.mark.parametrize(
    "change",
    [{"tolerance": {}}, {"tolerance": {"model": 2, "model_quantized": 2, "scores": 2}}, {"texts": []}, {"x": 1}],
)
def test_a_golden_file_that_lets_anything_pass_is_refused(bundle, change):
    golden = json.loads((bundle / "golden.json").read_text()) | change
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    assert "golden vectors" in failures(bundle)


def test_golden_vectors_of_another_shape_are_refused(bundle):
    golden = json.loads((bundle / "golden.json").read_text())
    golden["variants"]["model"]["vectors"][2].pop()
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    assert "different lengths" in failures(bundle)["golden vectors model"]


def test_a_variant_without_golden_vectors_is_caught(bundle):
    golden = json.loads((bundle / "golden.json").read_text())
    del golden["variants"]["model"]
    rewrite(bundle, "golden.json", json.dumps(golden).encode())
    assert "same set of variants" in failures(bundle)["golden vectors model"]


@pytest.mark.parametrize(("low", "high"), [("99.0", ""), ("1.0", "1.1")])
def test_the_declared_runtime_range_counts(bundle, low, high):
    operators = tuple(json.loads((bundle / "manifest.json").read_text())["runtime"]["operators"])
    write_manifest(bundle, runtime=RuntimeRange(low, {"": 15}, operators, high))
    assert list(failures(bundle)) == ["runtime"]


def test_what_is_no_bundle_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="is no bundle"):
        verify_bundle(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        verify_bundle(tmp_path / "absent")


def test_the_command(bundle, pocketrank, tmp_path):
    done = pocketrank("verify", bundle)
    assert done.returncode == 0 and "golden vectors model_quantized" in done.stdout and "checks passed" in done.stdout
    shown = json.loads(pocketrank("verify", bundle, "--json").stdout)
    assert shown["passed"] and {"name", "passed", "detail"} == set(shown["checks"][0])
    (bundle / "README.md").write_text("new")
    done = pocketrank("verify", bundle)
    assert done.returncode == 1 and "FAIL" in done.stdout and "1 of" in done.stdout
    (bundle / "tokenizer.json").write_bytes(b"\xff\x00")
    done = pocketrank("verify", bundle, "--json")
    assert done.returncode == 1 and not json.loads(done.stdout)["passed"] and not done.stderr
    done = pocketrank("verify", tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
