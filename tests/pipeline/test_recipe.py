"""A recipe is strict: defaults filled in, unknown keys refused with the nearest name, paths resolved."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pocketrank.pipeline.recipe import read_recipe, recipe_toml
from pocketrank.runtime.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_five_lines_are_enough(tmp_path: Path) -> None:
    resolved = read_recipe(write(tmp_path, '[corpus]\nsource = "pydocs"\n'))
    assert resolved.recipe.name == "mine"
    assert resolved.recipe.student.layers == resolved.resolved_toml["student"]["layers"]


def test_the_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    first = read_recipe(write(tmp_path, 'name = "a"\n[distill]\nsteps = 7\n[distill.losses]\ncosine = 1\n'))
    again = tmp_path / "again.toml"
    again.write_bytes(recipe_toml(first.resolved_toml))
    assert read_recipe(again).resolved_toml == first.resolved_toml
    assert first.recipe.distill.losses == {"cosine": 1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[studnet]\nlayers = 2\n", ["mine.toml", "'studnet'", "did you mean 'student'"]),
        ("[student]\nlayer = 2\n", ["[student]", "'layer'", "did you mean 'layers'"]),
        ('[student]\nlayers = "two"\n', ["student.layers", "'two'", "a whole number"]),
        ("[student]\nlayers = true\n", ["student.layers", "a whole number"]),
        ('[vocabulary]\nkind = "bpe"\n', ["vocabulary.kind", "'bpe'", "'wordpiece'"]),
        ("student = 3\n", ["[student]", "must be a table"]),
        ("[student\nlayers = 2\n", ["not valid TOML"]),
        ('name = "../up"\n', ["folder name"]),
    ],
)
def test_mistakes_name_the_place_and_the_way_out(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_recipe(write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_paths_count_from_the_recipe_and_overrides_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    path = write(folder, '[corpus]\nsource = "beir"\npath = "../data"\n[gate]\nbudget = "b.toml"\n')
    resolved = read_recipe(path)
    assert resolved.recipe.corpus.path == str(tmp_path / "data")
    assert resolved.resolved_toml["corpus"]["path"] == "../data"
    monkeypatch.chdir(tmp_path)
    moved = read_recipe(path, ["corpus.path=elsewhere", "gate.budget=c.toml"])
    assert moved.recipe.corpus.path == str(tmp_path / "elsewhere")
    assert moved.recipe.gate.budget == str(tmp_path / "c.toml")


def test_overrides_are_typed_and_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 1\n")
    resolved = read_recipe(path, ["distill.steps=9", "seed=4", "vocabulary.kind=unigram", "distill.losses.l2=0.5"])
    assert (resolved.recipe.distill.steps, resolved.recipe.seed) == (9, 4)
    assert resolved.recipe.vocabulary.kind == "unigram"
    assert resolved.recipe.distill.losses == {"l2": 0.5}
    with pytest.raises(InputError, match="did you mean 'distill'"):
        read_recipe(path, ["distil.steps=9"])
    with pytest.raises(InputError, match="did you mean 'layers'"):
        read_recipe(path, ["student.layer=9"])
    with pytest.raises(InputError, match="did you mean 'seed'"):
        read_recipe(path, ["sed=9"])
    with pytest.raises(InputError, match="'=' is missing"):
        read_recipe(path, ["distill.steps"])
    with pytest.raises(InputError, match="'layers' is no table"):
        read_recipe(path, ["student.layers=2", "student.layers.first=3"])


@pytest.mark.parametrize("value", ["2024-01-01", "07:32:00", "1979-05-27T07:32:00Z"])
def test_a_date_where_a_text_is_meant_is_to_be_quoted(tmp_path: Path, value: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_recipe(path, [f"corpus.path={value}"])
    assert str(refused.value).endswith(f"""quote it: --set 'corpus.path="{value}"'""")
    assert read_recipe(path, [f'corpus.path="{value}"']).recipe.corpus.path == value


def test_a_home_folder_of_nobody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[teacher]\nmodel = "~no-such-user/model"\n', encoding="utf-8")
    with pytest.raises(InputError, match="no such user"):
        read_recipe(path)


def test_the_last_override_wins_and_is_recorded(tmp_path: Path) -> None:
    path = write(tmp_path, "[student]\nlayers = 2\n[distill.losses]\ncosine = 1.0\n")
    overrides = [
        "student.layers=3",
        "student.layers=4",
        "distill.losses.similarity_matrix=0.5",
        "queries.kinds=['title']",
    ]
    resolved = read_recipe(path, overrides)
    assert resolved.recipe.student.layers == resolved.resolved_toml["student"]["layers"] == 4
    assert resolved.resolved_toml["distill"]["losses"] == {"cosine": 1.0, "similarity_matrix": 0.5}
    assert resolved.resolved_toml["queries"]["kinds"] == ["title"]
    whole = read_recipe(path, ["distill.losses={batch_kl=1}"])
    assert whole.recipe.distill.losses == {"batch_kl": 1.0}


def test_a_mistaken_override_ends_the_run_before_it_starts(
    tmp_path: Path, pocketrank: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = write(tmp_path, "seed = 1\n")
    done = pocketrank("run", path, "--out", tmp_path / "out", "--set", "distill.stepz=9")
    assert done.returncode == 2
    assert "did you mean 'steps'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "a"\n# \xff\n')
    with pytest.raises(InputError, match="line 2: byte 13 is not valid UTF-8"):
        read_recipe(path)
