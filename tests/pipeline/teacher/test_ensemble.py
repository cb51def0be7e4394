"""Several bi-encoder teachers as one: what the score is, what the stages write, what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import small_models
from pocketrank.pipeline.fingerprint import teacher_fingerprint
from pocketrank.pipeline.packaging.bundle_stage import shipped_recipe
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.settings import EnsembleMember, Recipe, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher import ensemble, load
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.selection import selected_teacher, teacher_of_bundle
from pocketrank.pipeline.teacher.source import TeacherFiles, resolve_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.teacher.vectors.shards import encode_texts
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.schema import from_mapping, to_mapping
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two teachers of different widths and weights; the second has no prompt for queries and a licence."""
    folder = tmp_path_factory.mktemp("teachers")
    first, second = small_models.make_teacher(folder / "first"), small_models.make_teacher(folder / "second", 16)
    tensors = load_file(second / "model.safetensors")
    source = torch.Generator().manual_seed(6)
    save_file(
        {name: tensor + 0.2 * torch.randn(tensor.shape, generator=source) for name, tensor in tensors.items()},
        second / "model.safetensors",
        {"format": "pt"},
    )
    (second / "config_sentence_transformers.json").write_text("{}")
    (second / "README.md").write_text("---\nlicense: mit\n---\n")
    return [first, second]


def settings(folders: list[Path], **changes: Any) -> TeacherSettings:
    member = changes.pop("ensemble", {})
    values: dict[str, Any] = {"model": str(folders[0]), "weight": 3.0, "dimension": 12, "workers": 1}
    values["balance"] = "none"
    values["ensemble"] = (EnsembleMember(**({"model": str(folders[1])} | member)),)
    return TeacherSettings(**values | changes)


def test_the_score_is_the_weighted_mean_of_the_cosines(folders: list[Path]) -> None:
    loaded = load_teacher(settings(folders))
    queries, documents = small_models.sentences(9, 1), small_models.sentences(14, 2, longest=40)
    scores = loaded.encode(queries, "query") @ loaded.encode(documents).T
    cosines = []
    for folder in folders:
        alone = load_teacher(TeacherSettings(model=str(folder)))
        cosines.append(alone.encode(queries, "query") @ alone.encode(documents).T)
    assert np.allclose(scores, 0.75 * cosines[0] + 0.25 * cosines[1], atol=1e-6)
    assert np.abs(cosines[0] - cosines[1]).max() > 0.05
    vectors = loaded.encode(documents)
    assert vectors.shape == (14, 48) and loaded.dimension == 48
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_teacher_whose_cosines_lie_close_together_counts_as_much(folders: list[Path], tmp_path: Path) -> None:
    """A constant part in every vector, as E5's have, squeezes the cosines and leaves their order."""
    narrow = tmp_path / "narrow"
    shutil.copytree(folders[1], narrow)
    tensors = load_file(narrow / "model.safetensors")
    last = max(name for name in tensors if name.endswith("output.LayerNorm.bias"))
    tensors[last][0] += 30.0
    save_file(tensors, narrow / "model.safetensors", {"format": "pt"})
    alone = [load_teacher(TeacherSettings(model=str(folder))).first for folder in (folders[0], narrow)]
    queries, documents = small_models.sentences(9, 1), small_models.sentences(40, 2)
    wide, close = (ensemble.cosine_spread(member, queries, documents) for member in alone)
    assert wide > 3 * close
    plain = load_teacher(settings([folders[0], narrow], weight=1.0, balance="spread"))
    assert isinstance(plain, ensemble.TeacherEnsemble)
    loaded = plain.balanced(queries, documents)
    shares = np.array([part["share"] for part in loaded.parts])
    assert np.allclose(shares, [close / (wide + close), wide / (wide + close)])
    assert loaded.fingerprint != plain.fingerprint
    together = loaded.encode(queries, "query") @ loaded.encode(documents).T
    agreement = [
        np.corrcoef(together.ravel(), (member.encode(queries, "query") @ member.encode(documents).T).ravel())[0, 1]
        for member in alone
    ]
    assert min(agreement) > 0.4  # neither is drowned by the other


def test_an_ensemble_holds_each_model_once_and_the_first_is_the_recipe_s(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_bi_encoder = load.BiEncoder

    def counted(files: TeacherFiles, member: TeacherSettings) -> load.BiEncoder:
        opened.append(files.name)
        return open_bi_encoder(files, member)

    monkeypatch.setattr(load, "BiEncoder", counted)
    loaded, first = load_teacher(settings(folders)), load_teacher(TeacherSettings(model=str(folders[0]))).first
    assert opened == ["first", "second", "first"]  # the last one alone
    assert (loaded.first.token_table() == first.token_table()).all() and loaded.first.dimension == 32
    assert set(loaded.first.bert_tensors()) == set(first.bert_tensors())
    assert not loaded.same_for_both_roles  # the first has a prompt for queries
    turned = TeacherSettings(str(folders[1]), ensemble=(EnsembleMember(str(folders[0])),))
    assert not load_teacher(turned).same_for_both_roles  # so it counts in whatever place
    twins = TeacherSettings(str(folders[1]), ensemble=(EnsembleMember(str(folders[1])),))
    assert load_teacher(twins).same_for_both_roles


def test_the_stage_writes_long_vectors_and_every_licence(folders: list[Path], tmp_path: Path) -> None:
    small_models.make_texts(tmp_path)
    for name in ("output", "work"):
        (tmp_path / name).mkdir()
    places = {name: tmp_path / name for name in ("corpus", "queries")}
    recipe = Recipe("test", teacher=settings(folders))
    run_teacher(StageContext(recipe, {}, places, tmp_path / "output", tmp_path / "work", NoProgress()))
    record = json.loads((tmp_path / "output" / "teacher.json").read_text())
    assert record["id"] == "0.75 first + 0.25 second" and record["dimension"] == 48
    assert record["licences"] == {"weights of first": "unknown", "weights of second": "mit"}
    assert [part["id"] for part in record["several"]] == ["first", "second"]
    assert record["several"][0]["scale"] == pytest.approx(0.75**0.5, abs=1e-5)
    texts = [json.loads(line)["text"] for line in (tmp_path / "corpus" / "queries.jsonl").read_text().splitlines()]
    assert np.allclose(
        np.load(tmp_path / "output" / "queries.npy"), load_teacher(recipe.teacher).encode(texts, "query"), atol=1e-5
    )


def test_the_stage_balances_on_texts_of_the_corpus_and_later_stages_take_its_shares(
    folders: list[Path], tmp_path: Path
) -> None:
    small_models.make_texts(tmp_path)
    recipe = Recipe("test", teacher=settings(folders, balance="spread"))
    places = {name: tmp_path / name for name in ("corpus", "queries")}
    records = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        context = StageContext(recipe, to_mapping(recipe), places, tmp_path / name, tmp_path / "work", NoProgress())
        (tmp_path / "work").mkdir(exist_ok=True)
        run_teacher(context)
        records.append(json.loads((tmp_path / name / "teacher.json").read_text()))
    assert records[0] == records[1]
    assert json.loads((tmp_path / "two" / "speed.json").read_text())["texts"] == 0  # the second found all its shards

    first, second = records[0]["several"]
    by_spread = 3 / first["cosine_spread"], 1 / second["cosine_spread"]
    assert first["share"] == pytest.approx(by_spread[0] / sum(by_spread)) and first["share"] != 0.75
    later = replace(context, inputs=places | {"teacher": tmp_path / "one"})
    found = selected_teacher(later)
    assert (found.weight, found.ensemble[0].weight) == (first["share"], second["share"])
    vectors = np.load(tmp_path / "one" / "queries.npy")
    texts = [json.loads(line)["text"] for line in (tmp_path / "corpus" / "queries.jsonl").read_text().splitlines()]
    assert np.allclose(load_teacher(found).encode(texts, "query"), vectors, atol=1e-5)
    # A bundle's recipe holds the shares too, so that its documents can be encoded without the corpus.
    shipped = from_mapping(Recipe, shipped_recipe(later, records[0]), "shipped")
    assert shipped.teacher == found
    assert shipped_recipe(replace(later, recipe=Recipe("test", teacher=settings(folders))), records[0]) == to_mapping(
        recipe
    )


def test_workers_do_not_change_a_byte(folders: list[Path]) -> None:
    texts = small_models.sentences(30)
    one, two = (encode_texts(settings(folders, workers=count, shard_texts=10), texts, NoProgress()) for count in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_every_teacher_counts_in_keys_and_hashes(folders: list[Path]) -> None:
    base = settings(folders)
    changed = [
        settings(folders, weight=2.0),
        settings(folders, ensemble={"query_prompt": "lara "}),
        settings(folders, ensemble={"max_length": 9}),
    ]
    prints = {load_teacher(changed_settings).fingerprint for changed_settings in (base, *changed)}
    assert len(prints) == 4
    found = teacher_fingerprint(Recipe("test", teacher=base))
    assert "model.safetensors" in found and "ensemble 0: model.safetensors" in found
    assert found["model.safetensors"] != found["ensemble 0: model.safetensors"]


def test_a_finished_bundle_is_held_to_all_of_its_teachers(folders: list[Path]) -> None:
    recipe = Recipe("test", teacher=settings(folders))
    sha256 = load_teacher(recipe.teacher).files.sha256
    assert teacher_of_bundle(recipe, "", sha256, "b") == recipe.teacher
    places = f"{folders[0]},{folders[1]}"
    assert teacher_of_bundle(recipe, places, sha256, "b") == recipe.teacher
    with pytest.raises(InputError, match="name the right ones"):
        teacher_of_bundle(recipe, f"{folders[1]},{folders[0]}", sha256, "b")
    with pytest.raises(InputError, match="names 1 teachers"):
        teacher_of_bundle(recipe, str(folders[0]), sha256, "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": {"model": "./absent"}}, r"teacher\.ensemble\[0\]\.model = '\./absent'"),
        ({"ensemble": {"sha256": "00"}}, r"teacher\.ensemble\[0\]\.sha256"),
    ],
)
def test_mistakes_name_the_teacher_at_fault(folders: list[Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_teacher(settings(folders, **changes))


def test_a_recipe_lists_further_teachers_by_paths_of_its_own(folders: list[Path], tmp_path: Path) -> None:
    path = folders[0].parent / "two.toml"
    path.write_text('[teacher]\nmodel = "./first"\n[[teacher.ensemble]]\nmodel = "./second"\nweight = 0.5\n')
    found = read_recipe(path)
    assert found.recipe.teacher.ensemble == (EnsembleMember(str(folders[1].resolve()), weight=0.5),)
    assert found.resolved_toml["teacher"]["ensemble"][0]["model"] == "./second"
    path.write_text('[[teacher.ensemble]]\nmodel = "./second"\nwheight = 0.5\n')
    with pytest.raises(InputError, match="did you mean 'weight'"):
        read_recipe(path)
    assert resolve_teacher(found.recipe.teacher).name == "first"
