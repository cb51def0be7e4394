"""Limits by a transient scope of systemd: where it owns the hierarchy, and the only way without root."""

from collections.abc import Iterator
from contextlib import contextmanager

from .control_group import Group, Limits


class SystemdRun:
    """systemd-run."""

    name = "systemd-run"

    def __init__(self, user: bool) -> None:
        self._user = user  # whether the user's own systemd is asked, not the system's

    @contextmanager
    def group(self, limits: Limits) -> Iterator[Group]:
        """Nothing to make: the scope, and its counters, live as long as the command.

        The limits are properties of the scope; cores go by affinity, which needs no delegated controller.
        """
        properties = []
        if limits.memory is not None:
            properties += [f"MemoryMax={limits.memory}", "MemorySwapMax=0"]
        if limits.cpu_quota < 1:
            properties.append(f"CPUQuota={limits.group_quota:.0%}")
        start = ["systemd-run", *(["--user"] if self._user else []), "--scope", "--quiet", "--collect"]
        options = [word for text in properties for word in ("-p", text)]
        yield Group([*start, *options, "taskset", "-c", limits.core_list])
