"""Limits of the kernel: a process under a control group sees its memory, its cores and its share."""

import json
import os
import shutil
from pathlib import Path

import pytest
from builders.miniature import write_bundle
from builders.quick_measurement import QUICK, TEXTS, script
from pocketrank.benchmarks.measure import model_files as models
from pocketrank.benchmarks.measure.run import measure_device
from pocketrank.benchmarks.measure.session import Session
from pocketrank.devices.profile import Core, Memory, Profile
from pocketrank.devices.targets import cgroup, control_group, mechanisms
from pocketrank.runtime.errors import UnavailableError
from pocketrank.runtime.progress import NoProgress


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "miniature")


def limited(memory: int | None = None, megahertz: float = 1e9, cores: int = 1) -> cgroup.CgroupTarget:
    entry = Memory(memory, "test") if memory else None
    profile = Profile("board", "Board", "x86_64", cores=(Core("Core", cores, megahertz, "test"),), memory=entry)
    try:
        return cgroup.CgroupTarget(profile)
    except UnavailableError as error:
        pytest.skip(str(error))


def leftovers() -> list[str]:
    """Groups of this process: others may run beside it."""
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{control_group.own_prefix()}*")]


def test_out_of_memory_is_found_by_the_kernels_counter(tmp_path):
    with limited(memory=64 << 20) as target:
        done = target.run(script(tmp_path, "data = bytearray(300 << 20); print(len(data))"), "", timeout=30)
    assert done.outcome == "out of memory"
    assert done.detail == "killed by the kernel at the limit of 67,108,864 bytes"
    assert leftovers() == []


@pytest.mark.parametrize("cores", [1, 2])
def test_a_limited_process_sees_its_cores_and_its_share(tmp_path, cores):
    """One busy thread must not have the shares of idle cores as well."""
    if cores > len(os.sched_getaffinity(0)):
        pytest.skip("this machine has one core")
    code = (
        "import os, time, json\nbegin, cpu = time.monotonic(), time.process_time()\n"
        "while time.process_time() - cpu < 0.3: pass\n"
        "print(json.dumps([len(os.sched_getaffinity(0)), (time.process_time() - cpu) / (time.monotonic() - begin)]))"
    )
    clock = cgroup.host_megahertz() or pytest.skip("clock unknown")
    with limited(megahertz=0.2 * clock, cores=cores) as target:
        done = target.run(script(tmp_path, code), "", timeout=60)
    assert target.cpu_quota == pytest.approx(0.2)
    seen, share = json.loads(done.output)
    assert seen == cores
    assert share < 0.3  # a fifth, and a little more for the period that was begun
    assert "20% of each core" in target.limits["quota"]
    assert leftovers() == []


def test_a_limited_process_is_stopped_by_the_clock_and_leaves_nothing(tmp_path):
    with limited(memory=256 << 20) as target:
        done = target.run(script(tmp_path, "import time; time.sleep(60)"), "", timeout=0.5)
    assert done.outcome == "timeout"
    assert leftovers() == []


def test_the_group_of_a_killed_run_is_removed_by_the_next(tmp_path):
    (tmp_path / "pocketrank-999999999-killed").mkdir()
    (tmp_path / "pocketrank-999999999-busy").mkdir()
    (tmp_path / "pocketrank-999999999-busy" / "cgroup.procs").touch()  # not empty, so it cannot be removed
    (tmp_path / f"pocketrank-{os.getppid()}-alive").mkdir()
    with control_group.group_folder(tmp_path, {}) as folder:
        assert folder.name.startswith(control_group.own_prefix())
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(["pocketrank-999999999-busy", f"pocketrank-{os.getppid()}-alive"])


def test_values_under_limits_are_emulated_and_a_quota_has_no_latency(bundle):
    target = limited(megahertz=0.5 * (cgroup.host_megahertz() or pytest.skip("clock unknown")))
    with target:
        found = measure_device(Session(target, [models.find_model(bundle)], TEXTS, QUICK, NoProgress()))
    latency = found.find("latency_p50", "miniature")
    assert latency.value is None
    assert latency.reason.startswith("a quota stops a process between its queries")
    throughput = found.find("throughput", "miniature")
    assert throughput.value > 0
    assert throughput.kind == "emulated"
    assert target.limits["mechanism"] in throughput.method
    assert found.find("energy_per_query", "miniature").value is None
    assert {one.kind for one in found.measurements if one.value is not None} == {"emulated"}


def test_version_two_writes_its_own_names(tmp_path, monkeypatch):
    """The files of a unified hierarchy, played by a plain folder: this shows names and values, not the kernel."""
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in {"cgroup.controllers": "cpuset cpu memory\n", "cgroup.subtree_control": "cpu memory\n"}.items():
        (root / name).write_text(text)
    (tmp_path / "mounts").write_text(f"cgroup2 {root} cgroup2 rw 0 0\n")
    seen = {}
    monkeypatch.setattr(control_group, "_remove", lambda folder: seen.update(removed=folder))
    monkeypatch.setattr(mechanisms, "is_delegated", lambda place: place == root)
    mechanism = mechanisms.find_mechanism(tmp_path / "mounts", tmp_path / "none")
    with mechanism.group(control_group.Limits((0, 1), 0.6, 512 << 20, threads=2)) as group:
        (folder,) = root.glob("pocketrank-*")
        assert (folder / "cpu.max").read_text() == "120000 100000"
        assert (folder / "memory.max").read_text() == str(512 << 20)
        (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        (folder / "memory.peak").write_text("123456\n")
        assert group.observe() == {"group_peak": 123456.0, "oom_kill": 2.0}
        assert group.command(["true"])[1] == f"POCKETRANK_GROUPS={folder}"
    assert seen == {"removed": folder}


def test_systemd_gets_properties(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    mechanism = mechanisms.find_mechanism(tmp_path / "mounts", tmp_path)
    with mechanism.group(control_group.Limits((0, 2), 0.5, 1000, threads=8)) as group:
        words = group.command(["python", "x.py"])
    assert words[0] == "systemd-run"
    assert words[words.index("taskset") :] == ["taskset", "-c", "0,2", "python", "x.py"]
    assert [word for word in words if "=" in word] == ["MemoryMax=1000", "MemorySwapMax=0", "CPUQuota=100%"]


def test_no_mechanism_is_said(tmp_path):
    with pytest.raises(UnavailableError, match="run as root, or where systemd is the init system"):
        mechanisms.find_mechanism(tmp_path / "none", tmp_path / "none")
