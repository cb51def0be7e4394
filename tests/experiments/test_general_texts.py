"""How the texts of the general student are chosen, and what belongs to a measured set is left out."""

import json
from pathlib import Path

import pytest

DOCUMENT = "The heron stands in shallow water for hours and waits until a fish comes near enough to be caught."


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    folder = tmp_path / "sets" / "ponds"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "title": "Herons", "text": DOCUMENT}) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "How does a heron fish?"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    return folder.parent


def test_texts_of_measured_sets_are_known(sets: Path, tmp_path: Path) -> None:
    from experiments.general_english.texts import HeldOut

    held_out = HeldOut(sets)
    assert len(held_out) == 1
    assert held_out.repeats("how does a FISH heron")  # neither order nor case nor punctuation counts
    assert not held_out.repeats("how does a heron fly")
    assert held_out.overlaps(f"Somebody wrote: {DOCUMENT.lower()}")
    assert not held_out.overlaps("A heron is a long-legged bird that lives near rivers and lakes, and eats fish.")
    assert not held_out.overlaps("short")
    with pytest.raises(SystemExit, match="--sets"):
        HeldOut(tmp_path / "nowhere")


def test_terms_and_joined_passages() -> None:
    from experiments.general_english.texts import JOINED_CHARACTERS, drawn, joined, terms

    names = ["heron", "egret", "stork", "crane", "ibis", "spoonbill"]
    glosses = [line for name in names for line in (f"{name}, {name} bird: a wading bird", f"they saw a {name}")]
    texts_of_terms = terms(glosses, 100)
    assert " ".join(texts_of_terms).split() == names  # every name once, in order, examples left out
    assert all(1 <= len(text.split()) <= 3 for text in texts_of_terms)
    lines = [f"Sentence number {number} is about birds in general." for number in range(100)]
    texts = joined(lines, 100)
    assert texts and all(len(text) >= JOINED_CHARACTERS for text in texts)
    assert " ".join(lines).startswith(" ".join(texts))
    assert drawn(lines, 10) == drawn(lines, 10) and len(drawn(lines, 10)) == 10
    assert drawn([*lines, *lines], 1000) == lines


def test_training_stops_after_its_steps_and_warms_up(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from experiments.teachers.training_loop import train

    model = torch.nn.Linear(2, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    rates = []

    def loss_of_step(step: int) -> torch.Tensor:
        rates.append(optimiser.param_groups[0]["lr"])
        return model(torch.ones(1, 2)).square().sum()

    _, steps = train(model, optimiser, loss_of_step, minutes=5, warmup_steps=4, most_steps=20)
    assert steps == 20 and len(rates) == 20
    assert rates[0] == pytest.approx(0.125, rel=0.1) and max(rates) <= 0.5 and rates[-1] < rates[10]
    assert "step 20: loss" in capsys.readouterr().out
    assert train(model, optimiser, loss_of_step, minutes=1e-9, warmup_steps=1)[1] == 0
