"""Choose a scheme for every tensor so that a file fits a number of bytes and loses as little as possible."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...runtime.errors import InputError
from ..graph.schemes import Plan, Scheme
from .sensitivity import Sensitivity, TensorLoss

START: Scheme = "fp16"  # half the bytes of fp32, and next to nothing lost


@dataclass(frozen=True)
class SchemeChange:
    """One tensor moved to another scheme; bytes of the ONNX file and the sum of the tensors' cosine losses after it."""

    tensor: str
    before: Scheme
    after: Scheme
    bytes: int
    cosine_loss: float


@dataclass(frozen=True)
class SchemePlan:
    """The chosen schemes and the way there."""

    target: int  # bytes of the ONNX file, at most
    bytes: int
    tensors: dict[str, Scheme]
    predicted_cosine_loss: float  # sum of what the tensors lose alone
    steps: tuple[SchemeChange, ...]

    @property
    def plan(self) -> Plan:
        """The plan of the file."""
        return chosen_plan(self.tensors)


def chosen_plan(tensors: Mapping[str, Scheme]) -> Plan:
    """Return the plan that gives every tensor its own scheme."""
    return Plan(table=START, linear=START, positions=START, vector="fp16", tensors=dict(tensors))


def choose_schemes(
    sensitivity: Sensitivity,
    target: int,
    size: Callable[[Plan], int],
    pinned: Mapping[str, Scheme],
    eight_bit_scheme: Scheme = "int7",
) -> SchemePlan:
    """Return the mix that fits `target` bytes of the ONNX file.

    Everything starts in half precision. The move that loses the least cosine for each byte that it saves is made, and
    so on until the file fits; then tensors are moved back, the costliest first, where the room that is left allows
    it. `size` returns the true bytes of a plan's file, `pinned` are tensors whose scheme the recipe names,
    `eight_bit_scheme` is that of linear layers. Raises `InputError` for a target that no mix meets, naming the
    smallest.
    """
    rows = _candidates(sensitivity, pinned, eight_bit_scheme)
    now: dict[str, Scheme] = {tensor: next(iter(schemes)) for tensor, schemes in rows.items()}
    smallest: dict[str, Scheme] = {
        tensor: min(schemes, key=lambda scheme: schemes[scheme].bytes) for tensor, schemes in rows.items()
    }
    least = size(chosen_plan(smallest))
    if least > target:
        raise InputError(
            f"quantize.target_bytes leaves {target:,} bytes for the ONNX file, the smallest mix of schemes has "
            f"{least:,}; allow {least - target:,} bytes more, or shrink the vocabulary or the student"
        )
    steps: list[SchemeChange] = []

    def move(tensor: str, scheme: Scheme) -> int:
        before, now[tensor] = now[tensor], scheme
        length = size(chosen_plan(now))
        steps.append(SchemeChange(tensor, before, scheme, length, _loss(rows, now)))
        return length

    length = size(chosen_plan(now))
    while length > target:
        moves: list[tuple[float, int, str, Scheme]] = [
            (max(0.0, row.cosine_loss - rows[tensor][now[tensor]].cosine_loss) / saved, -saved, tensor, scheme)
            for tensor, schemes in rows.items()
            for scheme, row in schemes.items()
            if (saved := rows[tensor][now[tensor]].bytes - row.bytes) > 0
        ]
        _, _, tensor, scheme = min(moves)
        length = move(tensor, scheme)
    for tensor in sorted(now, key=lambda tensor: (-rows[tensor][now[tensor]].cosine_loss, tensor)):
        better = sorted(rows[tensor].items(), key=lambda item: (item[1].cosine_loss, item[0]))
        for scheme, row in better:
            if row.cosine_loss >= rows[tensor][now[tensor]].cosine_loss:
                break
            if size(chosen_plan({**now, tensor: scheme})) <= target:
                length = move(tensor, scheme)
                break
    return SchemePlan(target, length, dict(now), _loss(rows, now), tuple(steps))


def _candidates(
    sensitivity: Sensitivity, pinned: Mapping[str, Scheme], eight_bit_scheme: Scheme
) -> dict[str, dict[Scheme, TensorLoss]]:
    """Return the schemes that each tensor may have, half precision first; a pinned tensor has one."""
    rows: dict[str, dict[Scheme, TensorLoss]] = {}
    for row in sensitivity.tensors:
        rows.setdefault(row.tensor, {})[row.scheme] = row
    for tensor in pinned:
        if tensor not in rows:
            raise InputError(f"quantize.tensors: the graph has no tensor {tensor!r}; name one of {', '.join(rows)}")
    for tensor, schemes in rows.items():
        if tensor in pinned:
            if pinned[tensor] not in schemes:
                schemes[pinned[tensor]] = dataclasses.replace(schemes[START], scheme=pinned[tensor])
            rows[tensor] = {pinned[tensor]: schemes[pinned[tensor]]}
        else:
            eight_bits: Scheme = "int8" if tensor in ("table", "positions") else eight_bit_scheme
            kept: tuple[Scheme, ...] = (START, eight_bits, "int4")
            rows[tensor] = {scheme: schemes[scheme] for scheme in kept if scheme in schemes}
    return rows


def _loss(rows: Mapping[str, Mapping[Scheme, TensorLoss]], now: Mapping[str, Scheme]) -> float:
    return float(f"{sum(rows[tensor][scheme].cosine_loss for tensor, scheme in now.items()):.6g}")


def scheme_table(choice: SchemePlan, sensitivity: Sensitivity) -> str:
    """Return the chosen schemes and every step towards them as Markdown."""
    lines = ["| tensor | scheme | bytes | cosine lost alone |", "| --- | --- | ---: | ---: |"]
    for tensor, scheme in choice.tensors.items():
        row = sensitivity.find(tensor, scheme)
        lines.append(
            f"| {tensor} | {scheme} | {row.bytes:,} | {row.cosine_loss:.6f} |"
            if row
            else f"| {tensor} | {scheme} | | |"
        )
    lines += ["", "| step | tensor | from | to | bytes of the file | cosine lost, sum |"]
    lines += ["| ---: | --- | --- | --- | ---: | ---: |"]
    for number, step in enumerate(choice.steps, start=1):
        lines.append(
            f"| {number} | {step.tensor} | {step.before} | {step.after} | {step.bytes:,} | {step.cosine_loss:.6f} |"
        )
    return "\n".join(lines) + "\n"
