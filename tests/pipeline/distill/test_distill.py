"""The student, its batches and its training: right arithmetic, and the same bytes whatever happens."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import small_models
from builders.killed import run_and_kill
from builders.processes import FORKED, children_of
from pocketrank.pipeline.distill import trainer
from pocketrank.pipeline.distill.batches import BatchPlan, balanced_cuts
from pocketrank.pipeline.distill.optimizer import learning_rate
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.distill.validation import held_back
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts, tokenize
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.initialization import project_embeddings, random_weights
from pocketrank.pipeline.student.model import FlatParameters, Student, load_student, save_student, shape_of
from pocketrank.pipeline.training import worker_pool as processes
from pocketrank.pipeline.training.accelerator import TrainingDevice
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

STUDENT = StudentSettings(layers=2, hidden=32, heads=2, intermediate=64, max_length=24, initialise="random")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder, documents=60, training=400)
    small_models.make_vectors(folder)
    return folder


def context(inputs: Path, folder: Path, **changes: Any) -> StageContext:
    settings: dict[str, Any] = {"steps": 60, "batch_texts": 12, "warmup_steps": 5, "learning_rate": 3e-3}
    recipe = Recipe("test", student=STUDENT, distill=DistillSettings(**settings | changes))
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    stages = ("corpus", "queries", "vocabulary", "teacher")
    places = {name: inputs / name for name in stages}
    return StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress())


def results(folder: Path) -> tuple[bytes, bytes]:
    output = folder / "output"
    return (output / "student" / "model.safetensors").read_bytes(), (output / "log.json").read_bytes()


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run in one process, never interrupted."""
    folder = tmp_path_factory.mktemp("alone")
    run_distill(context(inputs, folder, workers=1))
    return folder


def test_the_student_learns(alone: Path) -> None:
    points = json.loads((alone / "output" / "log.json").read_text())["points"]
    assert points[-1]["step"] == 60
    # The last batch alone decides this figure, and processors round differently: half would be borderline.
    assert points[-1]["cosine"] < points[0]["cosine"] * 0.7
    checked = [point["validation_cosine"] for point in points if "validation_cosine" in point]
    assert len(checked) == 10 and checked[-1] > checked[0] and checked[-1] > 0.75
    overlaps = [point["validation_overlap"] for point in points if "validation_overlap" in point]
    assert len(overlaps) == 10 and 0 < overlaps[0] < overlaps[-1] < 1


def test_log_has_no_timings(alone: Path) -> None:
    assert set(json.loads((alone / "output" / "log.json").read_text())["points"][0]) <= {
        "step", "loss", "cosine", "similarity_matrix", "corpus_kl", "corpus_cross_entropy", "gradient_norm",
        "validation_cosine", "validation_overlap", "validation_mrr10",
    }  # fmt: skip
    assert json.loads((alone / "output" / "speed.json").read_text())["tokens_per_second"] > 0


def test_two_processes_give_the_same_bytes(inputs: Path, alone: Path, tmp_path: Path) -> None:
    run_distill(context(inputs, tmp_path, workers=2))
    assert json.loads((tmp_path / "output" / "speed.json").read_text())["gradient_seconds_with_helper"] > 0
    assert results(tmp_path) == results(alone)


def test_what_an_accelerator_does_trains_the_same_student(
    inputs: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor in the place of an accelerator: no shared memory, figures that are read late, its own clipping."""
    monkeypatch.setattr(TrainingDevice, "chosen", lambda name: TrainingDevice(name, asynchronous=True))
    monkeypatch.setattr(trainer, "_LOG_POINTS", 5)
    read: list[int] = []
    read_figures = trainer.Trainer._read_figures
    monkeypatch.setattr(
        trainer.Trainer, "_read_figures", lambda self: read.append(len(self._unread)) or read_figures(self)
    )
    run_distill(context(inputs, tmp_path, workers=2))
    assert read == [12, 12, 12, 12, 12]
    assert json.loads((tmp_path / "output" / "speed.json").read_text())["gradient_seconds_with_helper"] == 0
    late, at_once = (load_student(folder / "output" / "student").tensors for folder in (tmp_path, alone))
    assert all(torch.allclose(late[name], at_once[name], atol=1e-4) for name in late)
    logs = [json.loads((folder / "output" / "log.json").read_text())["points"] for folder in (tmp_path, alone)]
    for name in ("loss", "gradient_norm", "cosine"):  # of the first twelve steps
        mean = np.mean([point[name] for point in logs[1][:12]])
        assert logs[0][0][name] == pytest.approx(mean, rel=1e-3)


def test_divergence_on_an_accelerator_is_told_before_a_checkpoint(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingDevice, "chosen", lambda name: TrainingDevice(name, asynchronous=True))
    changes: dict[str, Any] = {"steps": 10**5, "learning_rate": 1e30, "clip_norm": 1e30}
    with pytest.raises(InputError, match=r"diverged in the 50 steps before step 50: .* lower distill\.learning_rate"):
        run_distill(context(inputs, tmp_path, **changes))
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


def test_training_in_bfloat16_learns_as_much(inputs: Path, alone: Path, tmp_path: Path) -> None:
    run_distill(context(inputs, tmp_path, workers=1, precision="bf16"))
    assert results(tmp_path)[0] != results(alone)[0]
    checked = [
        json.loads((folder / "output" / "log.json").read_text())["points"][-1]["validation_cosine"]
        for folder in (alone, tmp_path)
    ]
    assert abs(checked[0] - checked[1]) < 0.02


def test_a_lost_helper_does_not_change_the_bytes(
    inputs: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[processes.Worker] = []
    start = processes.Worker.__init__

    def remember(worker: processes.Worker, *arguments: Any) -> None:
        start(worker, *arguments)
        made.append(worker)

    monkeypatch.setattr(processes.Worker, "__init__", remember)
    receive, received = processes.Worker.receive, []

    def kill_at_the_ninth(worker: processes.Worker, timeout: float | None = None) -> Any:
        received.append(1)
        if len(received) == 9:
            worker.stop()
            raise processes.WorkerError("killed by the test")
        return receive(worker, timeout)

    monkeypatch.setattr(processes.Worker, "receive", kill_at_the_ninth)
    run_distill(context(inputs, tmp_path, workers=2))
    assert len(made) == 1 and len(received) == 9
    assert results(tmp_path) == results(alone)


def test_kill_and_resume_gives_the_same_bytes(inputs: Path, alone: Path, tmp_path: Path) -> None:
    killed = context(inputs, tmp_path, checkpoint_seconds=0)
    for steps in (9, 20, 17):  # killed three times; then left to finish
        run_and_kill(run_distill, killed, steps)
    run_distill(killed)
    # A kill comes between a step and its checkpoint.
    assert json.loads((tmp_path / "output" / "speed.json").read_text())["steps"] == 60 - (9 + 20 + 17 - 3)
    assert results(tmp_path) == results(alone)


def test_helpers_die_with_a_killed_trainer(inputs: Path, tmp_path: Path) -> None:
    endless = context(inputs, tmp_path, steps=1_000_000, workers=2, checkpoint_seconds=0)
    process = FORKED.Process(target=run_distill, args=(endless,))
    process.start()
    try:
        checkpoint = tmp_path / "work" / "checkpoint.safetensors"
        while not checkpoint.exists():
            assert process.is_alive()
            time.sleep(0.02)
        children = children_of(process.pid)
        assert len(children) == 1
    finally:
        process.kill()
        process.join()
    deadline = time.monotonic() + 60
    while any(_runs(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(child) for child in children)


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_divergence_is_told(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training diverged at step \d+: .* lower distill\.learning_rate"):
        run_distill(context(inputs, tmp_path, learning_rate=1e30, clip_norm=1e30, workers=1))


def test_vectors_of_other_texts_are_refused(inputs: Path, tmp_path: Path) -> None:
    broken = context(inputs, tmp_path)
    other = tmp_path / "teacher"
    other.mkdir()
    np.save(other / "training.npy", np.zeros((7, 16), np.float32))
    (other / "projection.safetensors").write_bytes((inputs / "teacher" / "projection.safetensors").read_bytes())
    with pytest.raises(InputError, match="7 vectors for 400 training texts"):
        run_distill(StageContext(broken.recipe, {}, {**broken.inputs, "teacher": other}, *(
            broken.output, broken.scratch, broken.progress)))  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (StudentSettings(hidden=30, heads=4), r"student\.hidden = 30 cannot be split among student\.heads = 4"),
        (StudentSettings(hidden=32, heads=4, table_rank=32), r"student\.table_rank = 32 must be below student\.hidden"),
        (StudentSettings(kind="static", hidden=32), r"student\.hidden = 32 is wider than the vectors"),
    ],
)
def test_impossible_students_are_refused(settings: StudentSettings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        shape_of(settings, 100, 16)


def test_the_student_is_the_bert_of_transformers(tmp_path: Path) -> None:
    from transformers import BertModel

    shape = shape_of(STUDENT, 50, 16)
    parameters = FlatParameters(shape)
    student = Student(parameters, torch.zeros(parameters.length))
    random_weights(student.tensors, 1)
    generator = torch.Generator().manual_seed(2)
    for tensor in student.tensors.values():  # norms and biases too, so that each of them counts
        tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    save_student(tmp_path / "student", shape, student.tensors)
    model = BertModel.from_pretrained(tmp_path / "student", add_pooling_layer=False).eval()
    ids = torch.randint(5, 50, (4, 9), generator=generator)
    lengths = torch.tensor([9, 4, 1, 7])
    mask = torch.arange(9)[None, :] < lengths[:, None]
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        tokens = hidden @ student.tensors["projection.weight"].T + student.tensors["projection.bias"]
        expected = torch.nn.functional.normalize((tokens * mask[..., None]).sum(1) / lengths[:, None], dim=1)
        found = student.encode(ids * mask, lengths)
        again = load_student(tmp_path / "student").encode(ids * mask, lengths)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(again, found)


def test_gradients_are_those_of_autograd_on_whole_tensors() -> None:
    shape = shape_of(STUDENT, 50, 16)
    parameters = FlatParameters(shape)
    flat, gradient = torch.zeros(parameters.length), torch.zeros(parameters.length)
    student = Student(parameters, flat, gradient)
    random_weights({name: tensor.detach() for name, tensor in student.tensors.items()}, 1)
    ids = torch.tensor([[2, 7, 7, 3], [2, 9, 3, 0]])
    lengths = torch.tensor([4, 3])
    wanted = torch.nn.functional.normalize(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)), dim=1)
    (student.encode(ids, lengths) * wanted).sum().backward()
    student.add_table_gradient()
    plain = Student(parameters, flat.clone().requires_grad_())
    whole = plain.tensors
    for tensor in whole.values():
        tensor.retain_grad()
    (plain.encode(ids, lengths) * wanted).sum().backward()
    for name, view in parameters.views(gradient).items():
        expected = whole[name].grad
        assert expected is not None and torch.allclose(view, expected, atol=1e-6), name


def texts_of(lengths: list[int], documents: int) -> TokenizedTexts:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return TokenizedTexts(
        np.arange(starts[-1], dtype=np.int32), starts, np.arange(len(lengths)) < documents
    )  # fmt: skip


def test_batches_follow_from_seed_and_step_alone() -> None:
    texts = texts_of(list(np.random.default_rng(0).integers(3, 40, 500)), 100)
    excluded, none = held_back(500, np.empty(0, np.int64), 1, DistillSettings(validation_texts=30))
    assert len(excluded) == 30 and not len(none)
    settings = DistillSettings(batch_texts=16, document_share=0.25)
    plan = BatchPlan(texts, excluded, settings, 1)
    forwards = [plan.rows(step).tolist() for step in range(120)]
    again = BatchPlan(texts, excluded, settings, 1)
    assert [again.rows(step).tolist() for step in reversed(range(120))] == forwards[::-1]
    assert BatchPlan(texts, excluded, settings, 2).rows(0).tolist() != forwards[0]
    for rows in forwards:
        assert len(rows) == 16 and texts.is_document[rows].sum() == 4
        assert not set(rows) & set(excluded.tolist())
        assert (np.diff(texts.lengths[rows]) >= 0).all()
    seen = {row for rows in forwards for row in rows}
    assert len(seen) > 0.95 * 470


def test_judged_queries_have_their_share_of_a_batch() -> None:
    texts = texts_of([5] * 200, 100)
    judged = np.arange(150, 170)
    rows, query_rows = held_back(200, judged, 1, DistillSettings(validation_texts=10))
    assert len(rows) == 10 and len(query_rows) == 2 and set(query_rows.tolist()) <= set(judged.tolist())
    settings = DistillSettings(batch_texts=16, document_share=0.25, judged_share=0.5)
    plan = BatchPlan(texts, query_rows, settings, 1, judged=judged)
    for step in range(40):
        batch = plan.rows(step)
        assert np.isin(batch, judged).sum() == 8 and texts.is_document[batch].sum() == 4
        assert not np.isin(batch, query_rows).any()


def test_passages_have_their_share_in_place_of_generated_texts() -> None:
    texts = texts_of([5] * 200, 100)
    with_passages = texts.followed_by(texts_of([5] * 50, 50))
    settings = DistillSettings(batch_texts=16, document_share=0.25, passage_share=0.1)
    plan = BatchPlan(with_passages, np.array([3, 210]), settings, 1, passages=50)
    seen = set()
    for step in range(60):
        batch = plan.rows(step)
        passages = batch[batch >= 200]
        assert len(batch) == 16 and len(passages) == 2
        assert with_passages.is_document[batch].sum() - len(passages) == 4
        seen.update(passages.tolist())
    assert len(seen) > 45 and 210 not in seen
    without = [BatchPlan(texts, np.array([3]), settings, 1).rows(step).tolist() for step in range(5)]
    zero = DistillSettings(batch_texts=16, document_share=0.25)
    assert without == [BatchPlan(texts, np.array([3]), zero, 1).rows(step).tolist() for step in range(5)]


def test_each_text_comes_once_an_epoch() -> None:
    texts = texts_of([5] * 64, 0)
    plan = BatchPlan(texts, np.empty(0, np.int64), DistillSettings(batch_texts=16), 3)
    for epoch in range(3):
        rows = np.concatenate([plan.rows(4 * epoch + step) for step in range(4)])
        assert sorted(rows.tolist()) == list(range(64))


def test_cuts_balance_padded_work() -> None:
    lengths = np.sort(np.random.default_rng(0).integers(3, 200, 64))
    for count in (1, 2, 3, 5):
        cuts = balanced_cuts(lengths, count)
        assert [first for first, _ in cuts[1:]] == [last for _, last in cuts[:-1]]
        assert cuts[0][0] == 0 and cuts[-1][1] == 64 and len(cuts) <= count
    largest = max((last - first) * int(lengths[last - 1]) for first, last in balanced_cuts(lengths, 2))
    best = min(max(cut * int(lengths[cut - 1]), (64 - cut) * int(lengths[-1])) for cut in range(1, 64))
    assert largest == best
    assert balanced_cuts(np.array([7]), 4) == [(0, 1)]


def test_truncation_keeps_the_separator(inputs: Path) -> None:
    texts = tokenize(inputs / "queries" / "training.jsonl", inputs / "vocabulary" / "tokenizer.json", 8)
    assert texts.lengths.max() == 8
    assert (texts.ids[texts.starts[1:] - 1] == 3).all() and (texts.ids[texts.starts[:-1]] == 2).all()


def test_learning_rate_rises_and_falls() -> None:
    for decay in ("linear", "cosine"):
        settings = DistillSettings(steps=100, warmup_steps=10, learning_rate=1.0, decay=decay)
        rates = [learning_rate(settings, step) for step in range(100)]
        assert rates[0] == 0.1 and max(rates) == rates[9] == 1.0 and 0 < rates[-1] < 0.02
        assert all(np.diff(rates[9:]) <= 0)


def test_width_is_reduced_or_padded() -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 12)).astype(np.float32)
    assert project_embeddings(vectors, 5).shape == (40, 5)
    wide = project_embeddings(vectors, 20)
    assert wide.shape == (40, 20) and not wide[:, 12:].any()
    centred = vectors - vectors.mean(0)
    ratio = (wide @ wide.T) / (centred @ centred.T)  # all axes are kept, so similarities keep their proportions
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-2)
