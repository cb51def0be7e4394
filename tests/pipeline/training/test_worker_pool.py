"""How many worker processes a machine, or the part of it that a container may use, is good for."""

import os
from pathlib import Path

import pytest
from pocketrank.pipeline.training.worker_pool import available_cores

VERSION_2 = {"groups": "0::/box", "box/cpu.max": "{quota} 100000"}
ABOVE = {"groups": "0::/box/inner", "box/cpu.max": "{quota} 100000", "box/inner/cpu.max": "max 100000"}
ROOT = {"groups": "0::/", "cpu.max": "{quota} 100000"}
HIDDEN = {"groups": "0::/seen/from/outside", "cpu.max": "{quota} 100000"}  # the container's own group is mounted as /
VERSION_1 = {
    "groups": "5:memory:/box\n1:cpu,cpuacct:/box\n0::/",
    "cpu,cpuacct/box/cpu.cfs_quota_us": "{quota}",
    "cpu,cpuacct/box/cpu.cfs_period_us": "100000",
}


@pytest.mark.parametrize("files", [VERSION_2, ABOVE, ROOT, HIDDEN, VERSION_1])
@pytest.mark.parametrize(
    ("quota", "cores"), [("max", 8), ("-1", 8), ("50000", 1), ("200000", 2), ("250000", 3), ("9900000", 8)]
)
def test_a_quota_is_a_number_of_cores(
    files: dict[str, str], quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.format(quota=quota), encoding="ascii")
    assert available_cores(tmp_path / "groups", tmp_path) == cores


def test_without_control_groups_it_is_the_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert available_cores(tmp_path / "groups", tmp_path) == 2
    (tmp_path / "groups").write_text("nothing known", encoding="ascii")
    assert available_cores(tmp_path / "groups", tmp_path) == 2
