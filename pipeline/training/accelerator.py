"""What training and encoding compute on: the processor, or an accelerator that PyTorch finds here.

On a processor the same inputs give the same bytes on every machine of a kind. An accelerator adds in another order, so
its results hold for its model and its libraries alone; `describe_device` names them for a stage's fingerprint.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...runtime.errors import UnavailableError

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda", "mps"]
ChosenDevice = Literal["cpu", "cuda", "mps", "auto"]


def available_devices() -> list[Device]:
    """Return what PyTorch can compute on here, the processor first."""
    import torch

    accelerators: dict[Device, bool] = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(device for device, there in accelerators.items() if there)]


def usable_device(wanted: ChosenDevice) -> Device:
    """Return the device `wanted`; `auto` is an accelerator where there is one, else the processor."""
    if wanted != "auto":
        return wanted
    there = available_devices()
    return there[1] if len(there) > 1 else "cpu"


def check_device(wanted: ChosenDevice, key: str) -> str:
    """Return the device `wanted`; raise `UnavailableError`, which names the recipe's `key`, for one that is not here.

    `auto` always is.
    """
    if wanted in ("cuda", "mps") and wanted not in available_devices():
        raise UnavailableError(
            f'{key} = "{wanted}" is not available to the PyTorch of this machine (it has '
            f'{", ".join(available_devices())}); install a build of PyTorch with it, or set "auto" or "cpu"'
        )
    return wanted


def describe_device(device: Device) -> str:
    """Return what the numbers of a device depend on beside the library versions; of the processor its name alone."""
    import torch

    if device != "cuda" or not torch.cuda.is_available():
        return device
    properties = torch.cuda.get_device_properties(0)
    capability = f"{properties.major}.{properties.minor}"
    cudnn = torch.backends.cudnn.version()
    return f"{properties.name}, compute capability {capability}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


@contextmanager
def repeatable_arithmetic(device: Device) -> Iterator[None]:
    """Compute in float32 without TF32 and by deterministic algorithms alone, where the device is a CUDA one."""
    if device != "cuda":
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what PyTorch asks for deterministic products
    deterministic: Any = torch.utils.deterministic
    precision, filled = torch.get_float32_matmul_precision(), deterministic.fill_uninitialized_memory
    torch.set_float32_matmul_precision("highest")
    deterministic.fill_uninitialized_memory = False  # nothing here reads what it has not written
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        deterministic.fill_uninitialized_memory = filled
        torch.set_float32_matmul_precision(precision)


@dataclass(frozen=True)
class TrainingDevice:
    """Where the tensors of a training run lie."""

    name: Device = "cpu"
    asynchronous: bool = False  # it works behind: a figure is read only when it is wanted, for reading means waiting

    @classmethod
    def chosen(cls, name: Device) -> "TrainingDevice":
        """Return the device of that name."""
        return cls(name, asynchronous=name != "cpu")

    def zeros(self, *size: int) -> "torch.Tensor":
        """Return float32 zeros on it."""
        import torch

        return torch.zeros(size, device=self.name)

    def put(self, values: np.ndarray) -> "torch.Tensor":
        """Return an array as a tensor on it; the processor shares its memory."""
        import torch

        tensor = torch.from_numpy(values)
        if self.name == "cuda":  # from pinned memory, so that nothing waits for the copy
            return tensor.pin_memory().to(self.name, non_blocking=True)
        return tensor.to(self.name)
