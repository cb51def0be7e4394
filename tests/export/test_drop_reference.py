"""A bundle without its fp32 reference: smaller, whole, and the same vectors."""

from pathlib import Path

import pytest
from pocketrank.export.bundle.drop_reference import drop_reference_variant
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.verify import verify_bundle


def test_only_the_reference_goes(tiny_bundle: Path, tmp_path: Path) -> None:
    before = read_manifest(tiny_bundle)
    slim = drop_reference_variant(tiny_bundle, tmp_path / "slim")
    assert set(before.variants) - set(slim.variants) == {"model"}
    assert set(before.files) - set(slim.files) == {"onnx/model.onnx"}
    assert all(check.passed for check in verify_bundle(tmp_path / "slim"))
    texts = ["a fence", "How are eggs kept warm?"]
    old, new = (Encoder.open(folder).encode(texts) for folder in (tiny_bundle, tmp_path / "slim"))
    assert old.tobytes() == new.tobytes()


def test_an_existing_folder_is_not_overwritten(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        drop_reference_variant(tiny_bundle, tmp_path)
