import dataclasses
import json

import pytest
from builders.miniature import write_bundle, write_manifest
from pocketrank.runtime.errors import InputError, VerificationError
from pocketrank.runtime.manifest import (
    Pairing,
    list_files,
    manifest_bytes,
    parse_manifest,
    read_manifest,
    shipped_bytes,
    space_of,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("manifest") / "bundle")


def test_round_trip_is_byte_identical(bundle):
    manifest = read_manifest(bundle)
    assert manifest_bytes(manifest) == (bundle / "manifest.json").read_bytes()
    assert manifest.files == list_files(bundle)


def test_order_of_files_does_not_change_the_bytes(bundle):
    manifest = read_manifest(bundle)
    backwards = dict(reversed(manifest.files.items()))
    assert manifest_bytes(dataclasses.replace(manifest, files=backwards)) == manifest_bytes(manifest)


def test_shipped_bytes_are_default_graph_and_tokenizer(bundle):
    expected = sum((bundle / name).stat().st_size for name in ("onnx/model_quantized.onnx", "tokenizer.json"))
    assert shipped_bytes(read_manifest(bundle)) == expected


def test_a_space_is_a_teacher_and_a_projection(bundle):
    manifest = read_manifest(bundle)
    projection = manifest.files["projection.safetensors"].sha256
    assert manifest.space == space_of("0" * 64, projection)
    assert len({manifest.space, space_of("1" * 64, projection), space_of("0" * 64, "1" * 64)}) == 3
    named = dataclasses.replace(manifest, pairing=Pairing("none", "projection.safetensors", manifest.space))
    assert named.space == manifest.space
    with pytest.raises(ValueError, match=r"pairing\.space is not that of teacher and projection"):
        dataclasses.replace(manifest, pairing=Pairing("none", "projection.safetensors", "0" * 64))
    assert dataclasses.replace(manifest, pairing=Pairing("none")).space == ""


def test_every_flipped_byte_of_the_manifest_is_caught(bundle):
    path = bundle / "manifest.json"
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises((VerificationError, InputError)) as caught:
            parse_manifest(bytes(damaged), path)
        # Only a changed schema version may claim to be another format instead of damage.
        assert isinstance(caught.value, VerificationError) or "schema version" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_reformatted_manifest_is_refused(bundle, tmp_path):
    data = (bundle / "manifest.json").read_bytes()
    for changed in (json.dumps(json.loads(data)).encode(), data + b"\n", data.replace(b"\n", b"\r\n"), b" " + data):
        (tmp_path / "manifest.json").write_bytes(changed)
        with pytest.raises(VerificationError, match="changed after it was written"):
            read_manifest(tmp_path)


def test_other_schema_version_is_named(bundle, tmp_path):
    mapping = json.loads((bundle / "manifest.json").read_text())
    mapping |= {"schema_version": 9, "new_key": True}
    (tmp_path / "manifest.json").write_text(json.dumps(mapping))
    with pytest.raises(InputError, match="schema version 9, this pocketrank reads 2"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_variant": "model_q4"}, "not among the variants"),
        ({"dimension": 0}, "dimension"),
        ({"files": {}}, "not listed"),
    ],
)
def test_contradictions_are_refused_when_written(bundle, changes, message):
    with pytest.raises(ValueError, match=message):
        write_manifest(bundle, **changes)
    write_manifest(bundle)


def test_links_to_files_are_listed_and_others_refused(bundle, tmp_path):
    (tmp_path / "tokenizer.json").symlink_to(bundle / "tokenizer.json")
    assert list_files(tmp_path) == {"tokenizer.json": list_files(bundle)["tokenizer.json"]}
    (tmp_path / "folder").symlink_to(bundle)
    with pytest.raises(InputError, match="folder is no plain file"):
        list_files(tmp_path)


@pytest.mark.parametrize("change", ["name", "variant", "licences"])
def test_names_with_control_characters_are_refused(bundle, tmp_path, change):
    manifest = read_manifest(bundle)
    bad = "x\x1b]0;title\x07\n::error::"
    changes = {
        "name": {"name": bad},
        "variant": {"variants": {**manifest.variants, bad: manifest.variants["model"]}},
        "licences": {"licences": {"weights": bad}},
    }[change]
    with pytest.raises(ValueError, match="control character") as caught:
        dataclasses.replace(manifest, **changes)
    assert str(caught.value).isprintable()
