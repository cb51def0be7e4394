"""A new student stays in the vector space of the last bundle: its projection, its dimension, its teacher."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.miniature import write_bare_bundle, write_manifest
from builders.tiny_run import write_home
from pocketrank.pipeline.fingerprint import teacher_fingerprint
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import run_recipe
from pocketrank.pipeline.settings import EnsembleMember, TeacherSettings
from pocketrank.pipeline.teacher.output import TeacherOutput
from pocketrank.pipeline.teacher.protocol import TeacherIdentity
from pocketrank.pipeline.teacher.vectors.kept_space import kept_space
from pocketrank.runtime.errors import InputError, VerificationError
from pocketrank.runtime.manifest import Pairing, TeacherEntry, read_manifest


def teacher_output(home: Path, out: Path, *overrides: str) -> TeacherOutput:
    results = run_recipe(read_recipe(home / "r.toml", overrides), out, until="teacher")
    return TeacherOutput(results["teacher"].folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recipe, its teacher, and `bundle` of the last release."""
    folder = write_home(tmp_path_factory.mktemp("space") / "home", 'model = "./teacher"\n')
    small_models.make_teacher(folder / "teacher")
    first = teacher_output(folder, folder / "first")
    record, bundle = first.record(), write_bare_bundle(folder / "bundle")
    shutil.copy(first.projection_file, bundle / "projection.safetensors")
    write_manifest(bundle, teacher=TeacherEntry(record["id"], record["sha256"], 32), dimension=16)
    return folder


def test_a_new_student_keeps_the_projection(home: Path, tmp_path: Path) -> None:
    kept = (home / "bundle" / "projection.safetensors").read_bytes()
    own = teacher_output(home, tmp_path / "own", "seed=2", "queries.kinds=['sentence']")
    other = ("seed=2", "queries.kinds=['sentence']", f"teacher.space={home / 'bundle'}")
    new = teacher_output(home, tmp_path / "new", *other)
    assert own.projection_file.read_bytes() != kept == new.projection_file.read_bytes()
    record, vectors = new.record(), np.load(new.training_file).astype(np.float64)
    reduced = vectors @ new.projection().matrix
    assert record["explained_variance"] == pytest.approx((reduced**2).sum() / (vectors**2).sum(), abs=1e-6)
    assert record["explained_variance"] < own.record()["explained_variance"] and not record["centred"]
    recipe = read_recipe(home / "r.toml", other).recipe
    assert recipe.teacher.space == str(home / "bundle")
    assert teacher_fingerprint(recipe)["space"] == read_manifest(home / "bundle").space


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 12}, "dimension = 12, and the space of .* has 16 dimensions; set it to 16"),
        ({"ensemble": (EnsembleMember("b"),)}, "would weigh the teachers anew"),
        ({"document_prompt": "passage: "}, "document_prompt = 'passage: ', and the space of .* was made with ''"),
        ({"pooling": "cls"}, "pooling = 'cls', and the space of .* was made with 'mean'"),
    ],
)
def test_settings_of_another_space_are_refused(
    home: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    bundle = shutil.copytree(home / "bundle", tmp_path / "bundle")
    (bundle / "recipe.toml").write_text('[teacher]\npooling = "mean"\n')
    write_manifest(bundle, dimension=16)
    settings = TeacherSettings(space=str(bundle), dimension=16, pooling="mean")
    space = kept_space(settings)
    assert space is not None
    space.check_settings(settings)
    with pytest.raises(InputError, match=message):
        space.check_settings(dataclasses.replace(settings, **changes))


def test_bundles_without_a_space_are_refused(home: Path, tmp_path: Path) -> None:
    assert kept_space(TeacherSettings()) is None
    with pytest.raises(InputError, match="is no bundle"):
        kept_space(TeacherSettings(space=str(tmp_path)))
    bundle = shutil.copytree(home / "bundle", tmp_path / "bundle")
    projection = bundle / "projection.safetensors"
    projection.write_bytes(projection.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError, match="projection"):
        kept_space(TeacherSettings(space=str(bundle)))
    write_manifest(bundle, pairing=Pairing("none"))
    with pytest.raises(InputError, match="has no projection"):
        kept_space(TeacherSettings(space=str(bundle)))


def test_several_teachers_keep_their_shares(home: Path) -> None:
    space = kept_space(TeacherSettings(space=str(home / "bundle")))
    assert space is not None
    entry = space.manifest.teacher
    identity = TeacherIdentity(entry.id, "", entry.sha256, "", {})
    space.check_teacher(identity, 32, ())
    space.check_teacher(identity, 32, ("first", "second"))
    with pytest.raises(InputError, match=r"and the teachers are 0.6 a \+ 0.4 b; copy the weights"):
        space.check_teacher(dataclasses.replace(identity, name="0.6 a + 0.4 b"), 32, ("first", "second"))
    with pytest.raises(InputError, match=r"teacher \(32 dimensions, SHA-256 .*and the teacher is teacher \(33 dim"):
        space.check_teacher(identity, 33, ())
