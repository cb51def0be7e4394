"""`teacher.device` and `teacher.precision`: what `auto` chooses, where it is written, and what is refused."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from pocketrank.cli.main import main
from pocketrank.pipeline.fingerprint import distill_fingerprint
from pocketrank.pipeline.preflight import check_devices
from pocketrank.pipeline.settings import CrossEncoderSettings, DistillSettings, Recipe, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher import computation
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.computation import Computation, choose_computation, fastest
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.training import accelerator
from pocketrank.runtime.errors import UnavailableError
from pocketrank.runtime.progress import NoProgress

FP32, BF16, GPU = Computation("cpu", "fp32"), Computation("cpu", "bf16"), Computation("cuda", "bf16")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder)
    return folder


def slow_down(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Let the real teacher take 0.3 s longer in one format, far more than noise on a busy machine."""
    encode = BiEncoder.encode

    def slower(self: BiEncoder, texts: Any, role: Any = "document", kind: Any = "fp32") -> np.ndarray:
        time.sleep(0.3 if kind == precision else 0)
        return encode(self, texts, role, kind)

    monkeypatch.setattr(BiEncoder, "encode", slower)


def run(inputs: Path, folder: Path, teacher: Path, **changes: Any) -> dict[str, Any]:
    """Run the stage and return its record."""
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {name: inputs / name for name in ("corpus", "queries")}
    recipe = Recipe("test", teacher=TeacherSettings(model=str(teacher), dimension=8, workers=1, **changes))
    run_teacher(StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress()))
    return json.loads((folder / "output" / "teacher.json").read_text())


def test_another_computation_must_be_clearly_faster_and_always() -> None:
    old = [1.0, 1.1, 1.0]
    assert fastest({FP32: old, BF16: [0.5, 0.6, 0.5]}) == BF16
    assert fastest({FP32: old, BF16: [0.9, 0.9, 0.9]}) == FP32  # too little to tell from noise
    assert fastest({FP32: old, BF16: [0.5, 1.2, 0.5]}) == FP32  # one round was slower
    assert fastest({FP32: old, BF16: [2.0, 2.0, 2.0], GPU: [0.1, 0.1, 0.1]}) == GPU
    assert fastest({FP32: old, BF16: [0.1, 0.1, 0.1], GPU: [0.09, 0.09, 0.09]}) == BF16


@pytest.mark.parametrize(("slow", "chosen"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_auto_takes_the_faster_format_of_this_machine(
    slow: str, chosen: str, teacher: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = run(inputs, tmp_path / "named", teacher, precision=chosen)
    slow_down(monkeypatch, slow)
    record = run(inputs, tmp_path / "auto", teacher, precision="auto")
    assert record == named and (record["precision"], record["device"]) == (chosen, "cpu")
    for name in ("documents", "queries", "training"):
        vectors = [(tmp_path / kind / "output" / f"{name}.npy").read_bytes() for kind in ("named", "auto")]
        assert vectors[0] == vectors[1]


def test_an_interrupted_run_goes_on_with_what_it_chose(
    teacher: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "computation.json").write_text('{"device": "cpu", "precision": "bf16"}')
    monkeypatch.setattr(computation, "measure", lambda *arguments: pytest.fail("it was measured once more"))
    assert run(inputs, tmp_path, teacher, precision="auto")["precision"] == "bf16"


def test_what_was_chosen_on_a_device_that_is_gone_is_chosen_again(teacher: Path, tmp_path: Path) -> None:
    kept = tmp_path / "computation.json"
    kept.write_text('{"device": "cuda", "precision": "bf16"}')
    settings = TeacherSettings(model=str(teacher), precision="auto")
    if "cuda" in computation.available_devices():
        pytest.skip("this machine has the device")
    chosen, seconds = choose_computation(settings, load_teacher(settings), small_models.sentences(40), kept)
    assert chosen in (FP32, BF16) and list(seconds) == ["fp32 on cpu", "bf16 on cpu"]
    assert json.loads(kept.read_text()) == {"device": "cpu", "precision": chosen.precision}


def test_every_device_that_is_there_is_tried(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a device that cannot be had here, whose place the processor takes."""
    monkeypatch.setattr(computation, "available_devices", lambda: ["cpu", "cuda"])
    used: list[str] = []
    loaded = load_teacher(TeacherSettings(model=str(teacher)))
    monkeypatch.setattr(BiEncoder, "compute_on", lambda self, device: used.append(device))
    settings = TeacherSettings(model=str(teacher), device="auto", precision="auto")
    _, seconds = choose_computation(settings, loaded, small_models.sentences(40), tmp_path / "kept.json")
    assert list(seconds) == ["fp32 on cpu", "bf16 on cpu", "fp32 on cuda", "bf16 on cuda"]
    assert used[:4] == ["cpu", "cpu", "cuda", "cuda"]


def test_vectors_of_another_device_are_other_vectors(teacher: Path) -> None:
    loaded = load_teacher(TeacherSettings(model=str(teacher)))
    fingerprint = loaded.fingerprint
    loaded.compute_on("cuda")
    assert loaded.fingerprint != fingerprint
    loaded.compute_on("cpu")
    assert loaded.fingerprint == fingerprint


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_ends_a_run_before_its_first_stage(
    device: str, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if device in computation.available_devices():
        pytest.skip("this machine has the device")
    (tmp_path / "a.txt").write_text(". ".join(small_models.sentences(40)))
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'corpus = {{ source = "texts", path = "a.txt" }}\nteacher = {{ model = "{teacher}" }}\n')
    code = main(["run", str(recipe), "--out", str(tmp_path / "out"), "--set", f"teacher.device={device}"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 3 and len(lines) == 1
    assert f'teacher.device = "{device}" is not available to the PyTorch of this machine (it has cpu' in lines[0]
    assert lines[0].endswith('or set "auto" or "cpu"') and not (tmp_path / "out" / "stages").exists()


def test_every_section_that_computes_names_its_device() -> None:
    recipe = Recipe("test", distill=DistillSettings(device="auto"))
    assert check_devices(recipe) == "teacher on cpu, cross_encoder on cpu, distill on auto"
    for section, changed in (
        ("distill", {"distill": DistillSettings(device="mps")}),
        ("cross_encoder", {"cross_encoder": CrossEncoderSettings(model="a", device="mps")}),
    ):
        if "mps" not in computation.available_devices():
            with pytest.raises(UnavailableError, match=f'{section}.device = "mps" is not available to the PyTorch'):
                check_devices(Recipe("test", **changed))


def test_stages_of_an_accelerator_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("test", distill=DistillSettings(device="auto"))
    monkeypatch.setattr(accelerator, "available_devices", lambda: ["cpu"])
    assert distill_fingerprint(recipe) == distill_fingerprint(Recipe("test"))
    monkeypatch.setattr(accelerator, "available_devices", lambda: ["cpu", "mps"])
    assert distill_fingerprint(recipe) == distill_fingerprint(Recipe("test")) | {"device": "mps"}
