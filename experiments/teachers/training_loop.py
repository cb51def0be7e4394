"""What the scripts that train a second teacher share: steps until the processor time is used up."""

import time
from collections.abc import Callable

import torch


def train(
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of_step: Callable[[int], torch.Tensor],
    minutes: float,
    warmup_steps: int,
    most_steps: int = 0,
) -> tuple[float, int]:
    """Take steps of falling size for `minutes` of processor time, at most `most_steps`; return seconds and steps.

    The groups of `optimiser` have the rates that they reach after the warm-up.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    started, step, shown = time.process_time(), 0, 0.0
    while (left := 1 - (time.process_time() - started) / (60 * minutes)) > 0 and not 0 < most_steps <= step:
        part = min((step + 1) / warmup_steps, left, 1 - step / most_steps if most_steps else 1.0)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * part
        loss = loss_of_step(step)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        shown += float(loss.detach()) / 10
        if step % 10 == 0:
            print(f"step {step}: loss {shown:.3f}, {time.process_time() - started:.0f} s", flush=True)
            shown = 0.0
    return time.process_time() - started, step
