"""A training state in one file, whole or absent."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.files import write_bytes

if TYPE_CHECKING:
    import torch


@dataclass
class TrainingState:
    """What is needed to go on from a step as if nothing had happened."""

    step: int  # steps done
    log: list[dict[str, Any]]  # finished log points
    running: dict[str, float]  # sums since the last log point
    tensors: "dict[str, torch.Tensor]"  # parameters and the optimiser's two moments


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """Replace the checkpoint at `path`."""
    from safetensors.torch import save

    text = json.dumps({"step": state.step, "log": state.log, "running": state.running})
    write_bytes(path, save(state.tensors, {"state": text}))


def read_checkpoint(path: Path) -> TrainingState | None:
    """Return the state at `path`, or `None` when there is none or it is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return TrainingState(state["step"], state["log"], state["running"], tensors)
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
