"""A cross-encoder as second teacher: its scores as lists, its dual-pooled form, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import small_models
from builders.small_cross_encoder import make_cross_encoder
from pocketrank.pipeline.distill.batches import BatchPlan
from pocketrank.pipeline.distill.checks import check_distill
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.losses.batch import LIST_LOSSES, ListBatch
from pocketrank.pipeline.losses.weighted import WeightedLosses
from pocketrank.pipeline.queries.tokenized_texts import tokenize
from pocketrank.pipeline.queries.training_texts import read_training_texts
from pocketrank.pipeline.settings import CrossEncoderSettings, DistillSettings, Recipe, StudentSettings, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher.cross_encoder.dual_pooling import DualPooled, DualPoolingTrainer
from pocketrank.pipeline.teacher.cross_encoder.model import SEPARATOR, load_cross_encoder, resolve_cross_encoder
from pocketrank.pipeline.teacher.cross_encoder.stage import candidate_lists, check_cross_encoder, run_cross_encoder
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.output import DUAL_TEACHER
from pocketrank.pipeline.teacher.score_lists import ABSENT, ScoreLists, read_lists
from pocketrank.pipeline.teacher.selection import selected_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

STUDENT = StudentSettings(layers=1, hidden=32, heads=2, intermediate=64, max_length=24, initialise="random")


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("models") / "small-cross-encoder")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder, documents=40, training=160)
    small_models.make_vectors(folder)
    return folder


def settings(cross_encoder: Path, **changes: Any) -> CrossEncoderSettings:
    values: dict[str, Any] = {"model": str(cross_encoder), "queries": 60, "candidates": 5, "workers": 1}
    return CrossEncoderSettings(**values | changes)


def context(inputs: Path, folder: Path, recipe: Recipe, **places: Path) -> StageContext:
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    known = {name: inputs / name for name in ("corpus", "queries", "vocabulary", "teacher")}
    return StageContext(recipe, {}, known | places, folder / "output", folder / "work", NoProgress())


@pytest.fixture(scope="module")
def scored(cross_encoder: Path, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    run_cross_encoder(context(inputs, folder, Recipe("test", cross_encoder=settings(cross_encoder))))
    return folder / "output"


def test_scores_are_those_of_sentence_transformers(cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    pairs = list(zip(small_models.sentences(12, 1), small_models.sentences(12, 2, longest=60), strict=True))
    pairs.append(("", ""))
    ours = load_cross_encoder(settings(cross_encoder)).encode([SEPARATOR.join(pair) for pair in pairs])
    plain = CrossEncoder(str(cross_encoder), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    assert np.allclose(ours[:, 0], plain, atol=1e-5) and np.ptp(ours) > 0.1


def test_lists_hold_the_best_of_bm25_and_drawn_documents(inputs: Path, scored: Path, cross_encoder: Path) -> None:
    texts = read_training_texts(inputs / "queries" / "training.jsonl")
    lists = read_lists(scored, len(texts))
    assert lists is not None and lists.rows.shape == (60, 6)
    for row in lists.rows:
        assert texts[row[0]].role == "query" and all(texts[place].role == "document" for place in row[1:])
        assert len(set(row[1:])) == 5
    words = [[len(set(texts[row[0]].text.split()) & set(texts[place].text.split())) for place in row[1:]]
             for row in lists.rows]  # fmt: skip
    assert np.mean([first for first, *_ in words]) > np.mean([last for *_, last in words]) + 0.5
    model = load_cross_encoder(settings(cross_encoder))
    pair = [f"{texts[lists.rows[7, 0]].text}{SEPARATOR}{texts[lists.rows[7, 3]].text}"]
    assert lists.scores[7, 2] == pytest.approx(model.encode(pair)[0, 0], abs=1e-5)


def test_asked_queries_come_first_and_few_documents_leave_gaps(cross_encoder: Path, inputs: Path) -> None:
    texts = read_training_texts(inputs / "queries" / "training.jsonl")
    few = [*texts[:3], *texts[-20:]]
    few[9] = dataclasses.replace(few[9], kind="query")
    lists = candidate_lists(few, settings(cross_encoder, queries=4), seed=1)
    assert lists[0, 0] == 9 and (lists[:, 4:] == ABSENT).all() and set(lists[0, 1:4]) == {0, 1, 2}
    with pytest.raises(InputError, match="too few"):
        candidate_lists(texts[:5], settings(cross_encoder), seed=1)


def test_workers_and_an_interruption_do_not_change_a_byte(
    cross_encoder: Path, inputs: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketrank.pipeline.teacher.cross_encoder.stage._SHARD_PAIRS", 100)
    recipe = Recipe("test", cross_encoder=settings(cross_encoder, workers=2))
    run_cross_encoder(context(inputs, tmp_path / "two", recipe))
    shards = sorted((tmp_path / "two" / "work" / "shards").iterdir())
    assert len(shards) == 3
    shards[1].unlink()  # as if a run had been killed between two shards
    run_cross_encoder(
        context(inputs, tmp_path / "two", dataclasses.replace(recipe, cross_encoder=settings(cross_encoder)))
    )
    two = tmp_path / "two" / "output"
    assert json.loads((two / "speed.json").read_text())["resumed_pairs"] == 200
    assert (two / "lists.npy").read_bytes() == (scored / "lists.npy").read_bytes()
    assert np.allclose(np.load(two / "scores.npy"), np.load(scored / "scores.npy"), atol=1e-5)


def test_a_plan_carries_the_lists_of_its_batches(inputs: Path, scored: Path) -> None:
    texts = tokenize(inputs / "queries" / "training.jsonl", inputs / "vocabulary" / "tokenizer.json", 24)
    lists = read_lists(scored, len(texts))
    assert lists is not None
    held = np.array([int(lists.rows[0, 0]), int(lists.rows[1, 1])])
    plan = BatchPlan(texts, held, DistillSettings(batch_texts=30, document_share=0.2, batch_lists=3), 1, lists=lists)
    seen = set()
    for step in range(40):
        rows, found = plan.rows(step), plan.lists(step)
        assert found is not None and len(rows) <= 30 and not np.isin(rows, held).any()
        assert (np.diff(texts.lengths[rows]) >= 0).all()
        for positions, scores in zip(found.positions, found.scores, strict=True):
            query = rows[positions[0]]
            known = lists.rows[lists.rows[:, 0] == query][0]
            for position, row, score, own in zip(
                positions[1:], known[1:], scores, lists.scores[lists.rows[:, 0] == query][0], strict=True
            ):
                assert (position == ABSENT and row in held) or rows[position] == row
                assert score == own
            seen.add(int(query))
    assert seen == set(lists.without(held).rows[:, 0].tolist())
    with pytest.raises(InputError, match="batch_lists"):
        BatchPlan(texts, held, DistillSettings(batch_texts=12, batch_lists=2), 1, lists=lists)


@pytest.mark.parametrize("name", sorted(LIST_LOSSES))
def test_list_losses_vanish_where_the_student_scores_alike(name: str) -> None:
    source = torch.Generator().manual_seed(4)
    unit = torch.nn.functional.normalize(torch.randn(3 + 12, 6, generator=source, dtype=torch.float64), dim=1)
    queries, documents = unit[:3], unit[3:].view(3, 4, 6)
    present = torch.ones(3, 4, dtype=torch.bool)
    present[0, 3] = False
    alike = (documents * queries[:, None, :]).sum(2) / 0.05
    same = ListBatch(queries, documents, documents, alike + 7.0, present)  # a constant changes no list
    assert float(LIST_LOSSES[name](same)) == pytest.approx(0, abs=1e-9)
    alike[0, 3] += 100  # an absent document counts nothing
    assert float(LIST_LOSSES[name](dataclasses.replace(same, scores=alike))) == pytest.approx(0, abs=1e-9)
    other = dataclasses.replace(same, scores=-alike)
    assert float(LIST_LOSSES[name](other)) > 0.01
    moving = queries.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: LIST_LOSSES[name](dataclasses.replace(other, queries=rows)), moving)


def distilled(inputs: Path, scored: Path, folder: Path, **changes: Any) -> tuple[list[dict[str, float]], bytes]:
    values: dict[str, Any] = {
        "steps": 80, "batch_texts": 24, "batch_lists": 2, "warmup_steps": 5, "learning_rate": 3e-3, "workers": 1,
        "losses": {"cosine": 0.2, "list_kl": 1.0},
    }  # fmt: skip
    recipe = Recipe("test", student=STUDENT, distill=DistillSettings(**values | changes))
    run_distill(context(inputs, folder, recipe, cross_encoder=scored))
    output = folder / "output"
    return json.loads((output / "log.json").read_text())["points"], (
        output / "student" / "model.safetensors"
    ).read_bytes()


def test_the_student_learns_the_lists_and_goes_on_to_the_same_bytes(
    inputs: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, whole = distilled(inputs, scored, tmp_path / "whole")
    last, first = points[-10:], points[:10]
    assert np.mean([point["list_kl"] for point in last]) < 0.8 * np.mean([point["list_kl"] for point in first])

    from pocketrank.pipeline.distill import trainer as stage

    train_step = stage.Trainer.train_step

    def interrupted(trainer: Any, progress: Any) -> None:
        if trainer.step == 40:
            raise KeyboardInterrupt
        train_step(trainer, progress)

    monkeypatch.setattr(stage.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distilled(inputs, scored, tmp_path / "cut", checkpoint_seconds=0)
    monkeypatch.setattr(stage.Trainer, "train_step", train_step)
    assert distilled(inputs, scored, tmp_path / "cut", workers=2)[1] == whole


def test_scores_without_a_list_loss_change_nothing_and_a_list_loss_without_scores_is_refused(
    inputs: Path, scored: Path, cross_encoder: Path, tmp_path: Path
) -> None:
    losses = {"cosine": 1.0}
    with_scores = distilled(inputs, scored, tmp_path / "with", steps=6, losses=losses)
    assert with_scores == distilled(inputs, tmp_path / "nothing", tmp_path / "without", steps=6, losses=losses)
    with pytest.raises(InputError, match=r"set cross_encoder\.model"):
        distilled(inputs, tmp_path / "nothing", tmp_path / "refused")
    with pytest.raises(InputError, match="names no list loss"):
        check_distill(Recipe("test", cross_encoder=settings(cross_encoder)))
    with pytest.raises(InputError, match="list_scores_queries"):
        WeightedLosses({"list_scores_queries": 1.0})


def test_dual_pooled_scores_are_dot_products_of_means_over_the_two_parts(cross_encoder: Path) -> None:
    model = load_cross_encoder(settings(cross_encoder))
    pooled = DualPooled(model)
    queries, documents = small_models.sentences(5, 1), small_models.sentences(5, 2, longest=30)
    with torch.no_grad():
        scores = (torch.stack(pooled.joint(queries, documents)).prod(0)).sum(1)
        for query, document, score in zip(queries, documents, scores, strict=True):
            inputs = model.tokenizer(query, document, truncation=True, max_length=model.max_length, return_tensors="pt")
            hidden = model.model.bert(**inputs).last_hidden_state[0]
            second = inputs["token_type_ids"][0].bool()
            first, other = (part.mean(0) / part.mean(0).norm() for part in (hidden[~second], hidden[second]))
            assert float(score) == pytest.approx(float(first @ other), abs=1e-5)


def trainer(cross_encoder: Path, inputs: Path, scored: Path, steps: int) -> DualPoolingTrainer:
    texts = [text.text for text in read_training_texts(inputs / "queries" / "training.jsonl")]
    lists = read_lists(scored, len(texts))
    assert lists is not None
    chosen = settings(cross_encoder, dual_pooling_steps=steps, dual_pooling_learning_rate=2e-3)
    return DualPoolingTrainer(DualPooled(load_cross_encoder(chosen)), texts, lists, chosen, 1)


def test_dual_pooling_learns_the_scores_and_resumes_to_the_same_weights(
    cross_encoder: Path, inputs: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(cross_encoder, inputs, scored, 30)
    report = whole.train(tmp_path / "none.safetensors", NoProgress())
    assert report["last"]["joint"] < 0.8 * report["first"]["joint"]
    assert report["last"]["match"] < report["first"]["match"]
    monkeypatch.setattr("pocketrank.pipeline.teacher.cross_encoder.dual_pooling._CHECKPOINT_SECONDS", 0.0)
    cut = trainer(cross_encoder, inputs, scored, 30)
    step = cut.train_step
    monkeypatch.setattr(
        cut, "train_step", lambda: (_ for _ in ()).throw(KeyboardInterrupt()) if cut.step == 12 else step()
    )
    with pytest.raises(KeyboardInterrupt):
        cut.train(tmp_path / "cut.safetensors", NoProgress())
    rest = trainer(cross_encoder, inputs, scored, 30)
    assert rest.train(tmp_path / "cut.safetensors", NoProgress()) == report
    for one, other in zip(whole._parameters, rest._parameters, strict=True):
        assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()


def test_the_dual_pooled_form_takes_the_place_of_the_teacher(cross_encoder: Path, inputs: Path, tmp_path: Path) -> None:
    chosen = settings(cross_encoder, use=("embeddings",), dual_pooling_steps=3)
    recipe = Recipe("test", teacher=TeacherSettings(model="missing"), cross_encoder=chosen)
    run_cross_encoder(context(inputs, tmp_path, recipe))
    output = tmp_path / "output"
    assert not (output / "lists.npy").exists() and (output / DUAL_TEACHER / "model.safetensors").is_file()
    found = selected_teacher(context(inputs, tmp_path / "later", recipe, cross_encoder=output))
    assert found.model == str(output / DUAL_TEACHER)
    teacher = load_teacher(found).first
    texts = [*small_models.sentences(6), ""]
    pooled = DualPooled(load_cross_encoder(settings(cross_encoder)))
    pooled.transformer.load_state_dict(teacher.model[0].auto_model.state_dict(), strict=False)
    with torch.no_grad():
        assert np.allclose(teacher.encode(texts), pooled.alone(texts).numpy(), atol=1e-5)
    assert teacher.files.licences == {"weights": "unknown"} and teacher.pooling == "mean"
    without = context(inputs, tmp_path / "plain", dataclasses.replace(recipe, cross_encoder=CrossEncoderSettings()))
    assert selected_teacher(without) is without.recipe.teacher
    run_cross_encoder(without)
    assert [path.name for path in (tmp_path / "plain" / "output").iterdir()] == ["cross_encoder.json"]


def test_the_licence_of_a_cross_encoder_reaches_the_record_of_the_teacher(
    inputs: Path, scored: Path, tmp_path: Path
) -> None:
    teacher = small_models.make_teacher(tmp_path / "teacher")
    recipe = Recipe("test", teacher=TeacherSettings(model=str(teacher), dimension=8, workers=1))
    run_teacher(context(inputs, tmp_path, recipe, cross_encoder=scored))
    record = json.loads((tmp_path / "output" / "teacher.json").read_text())
    assert record["licences"] == {"weights": "unknown", "weights of small-cross-encoder": "unknown"}


def test_what_is_no_safe_cross_encoder_is_refused(cross_encoder: Path, tmp_path: Path) -> None:
    teacher = small_models.make_teacher(tmp_path / "teacher")
    with pytest.raises(InputError, match="it is no cross-encoder"):
        resolve_cross_encoder(settings(teacher))
    with pytest.raises(InputError, match="is a cross-encoder"):
        load_teacher(TeacherSettings(model=str(cross_encoder)))
    with pytest.raises(InputError, match="3 outputs"):
        resolve_cross_encoder(settings(make_cross_encoder(tmp_path / "three", outputs=3)))
    with pytest.raises(InputError, match=r"cross_encoder\.model = '\./absent'"):
        resolve_cross_encoder(settings(Path("x"), model="./absent"))
    with pytest.raises(InputError, match=r"cross_encoder\.sha256"):
        resolve_cross_encoder(settings(cross_encoder, sha256="00"))
    code = shutil.copytree(cross_encoder, tmp_path / "code")
    config = json.loads((code / "config.json").read_text())
    (code / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Own"}}))
    with pytest.raises(InputError, match="code of its own"):
        resolve_cross_encoder(settings(code))
    pickled = shutil.copytree(cross_encoder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights are refused"):
        resolve_cross_encoder(settings(pickled))
    broken = shutil.copytree(cross_encoder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(InputError, match="is no whole safetensors file"):
        load_cross_encoder(settings(broken))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drawn_candidates": 9}, "drawn_candidates = 9 must be at most"),
        ({"model": "a/b"}, "must be pinned"),
        ({"use": ("embeddings",)}, "teacher.dimension = 192 is more than"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run(cross_encoder: Path, changes: dict[str, Any], message: str) -> None:
    assert check_cross_encoder(Recipe("test")) == "none"
    assert check_cross_encoder(Recipe("test", cross_encoder=settings(cross_encoder))).endswith("scores a pair")
    with pytest.raises(InputError, match=message):
        check_cross_encoder(Recipe("test", cross_encoder=settings(cross_encoder, **changes)))


def test_lists_of_other_texts_are_refused(scored: Path) -> None:
    with pytest.raises(InputError, match="does not belong"):
        read_lists(scored, 20)
    empty = ScoreLists(np.array([[0, 1, 2]], np.int32), np.zeros((1, 2), np.float32))
    assert len(empty.without(np.array([2]))) == 0
