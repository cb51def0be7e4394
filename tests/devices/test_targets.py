"""Targets for real where this machine allows: ARM emulation, a real ssh server; recordings elsewhere."""

import dataclasses
import getpass
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders.miniature import write_bundle, write_manifest
from builders.processes import children_of
from builders.quick_measurement import QUERIES, QUICK, TEXTS, script
from builders.tiny_recipe import REPOSITORY
from pocketrank.benchmarks.measure import model_files as models
from pocketrank.benchmarks.measure.run import measure
from pocketrank.benchmarks.measure.session import WORKER
from pocketrank.devices.emulation import setup as qemu_setup
from pocketrank.devices.profile import read_profile
from pocketrank.devices.targets import control_group
from pocketrank.devices.targets.base import TargetOptions
from pocketrank.devices.targets.open import check_devices, open_target
from pocketrank.devices.targets.qemu import QemuTarget, show_processor
from pocketrank.devices.targets.ssh import SshTarget
from pocketrank.runtime.errors import InputError, UnavailableError
from pocketrank.runtime.manifest import Variant
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.verify import verify_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "miniature")


# Names


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("raspberry-pi-6", "there is no device 'raspberry-pi-6'; did you mean"),
        ("qemu:raspberry-pi-6", "there is no device 'raspberry-pi-6'; did you mean"),
        ("qemo:raspberry-pi-4", "there is no mode 'qemo'; did you mean 'qemu'"),
        ("qemu:x86-n100", "only ARM boards run under qemu; use --device cgroup:x86-n100"),
        ("cgroup:host", "cgroup emulates another device; use --device host"),
        ("telnet://pi", "unknown scheme 'telnet'; a real board is ssh://user@host"),
        ("ssh://pi@board/folder", "write ssh://user@host"),
        ("ssh://-oProxyCommand=x", "write ssh://user@host"),
        ("ssh://pi@board:99999", "the port is no number"),
    ],
)
def test_devices_are_refused_clearly(device, message):
    with pytest.raises(InputError) as caught:
        open_target(device)
    assert message in str(caught.value)


def test_a_device_is_named_once():
    with pytest.raises(InputError, match="host is named twice"):
        check_devices(["host", "raspberry-pi-4", "host"])


# Killed parents


@pytest.mark.parametrize("moment", ["at once", "while it works"])
@pytest.mark.parametrize("metered", [False, True])
def test_a_worker_does_not_outlive_its_killed_parent(moment, metered, bundle, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux ends a process with its parent")
    files = models.find_model(bundle)
    request = {"onnx": str(files.onnx), "tokenizer": str(files.tokenizer), "texts": TEXTS}
    request |= {"min_seconds": 300.0, "max_seconds": 300.0}
    name, words = WORKER.name, []
    if metered:  # a process that runs the worker's functions, as energy meters need it
        name, words = "metered_worker.py", [str(WORKER), str(WORKER.with_name("power_sampler.py"))]
        request["metering"] = {"source": "", "idle_seconds": 300.0, "seconds": 1.0, "windows": 1, "hertz": 1.0}
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom pocketrank.devices.profile import read_profile\n"
        "from pocketrank.devices.targets.base import Target\nrequest, script, *words = sys.argv[1:]\n"
        "Target(read_profile('host')).run(Path(script), request, words)"
    )
    command = [sys.executable, "-c", code, json.dumps(request), str(WORKER.with_name(name)), *words]
    parent = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        worker = eventually(lambda: children_of(parent.pid, "worker"))[0]
        if moment == "while it works":
            eventually(lambda: "onnxruntime" in mapped(worker))
    finally:
        parent.kill()
        parent.wait()
    gone = eventually(lambda: not is_running(worker))
    if not gone:
        os.kill(worker, signal.SIGKILL)
    assert gone


def eventually(seen):
    """Wait for what is true at some time, also on a busy machine."""
    for _ in range(1200):
        found = seen()
        if found:
            return found
        time.sleep(0.05)
    return found


def mapped(process: int) -> str:
    return control_group.read_kernel_file(Path(f"/proc/{process}/maps"))


def is_running(process: int) -> bool:
    state = control_group.read_kernel_file(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"  # its new parent has not asked for it yet


# Recordings


def test_a_recording_plays_what_was_measured(bundle, tmp_path):
    recording = tmp_path / "recording.jsonl"
    settings = dataclasses.replace(QUICK, overhead=True, calibration_pairs=5, min_queries=8)
    files, options = [models.find_model(bundle)], TargetOptions(record=recording)
    (recorded,) = measure(files, ["host"], settings, QUERIES, NoProgress(), options=options).devices
    (played,) = measure(files, [f"replay:{recording}"], settings, QUERIES, NoProgress()).devices
    assert (played.target, played.limits) == ("replay", {"recorded on": "local"})
    assert played.runs == recorded.runs
    assert [row.value for row in played.measurements] == [row.value for row in recorded.measurements]
    assert [row.value for row in played.overhead] == [row.value for row in recorded.overhead]
    assert played.calibration == recorded.calibration
    assert recorded.calibration.pairs == 5
    assert recorded.calibration.paired["latency_p50"] > 0
    with pytest.raises(InputError, match="holds 14 answers and one more is needed"):
        longer = dataclasses.replace(settings, calibration_pairs=9)
        measure(files, [f"replay:{recording}"], longer, QUERIES, NoProgress())
    with pytest.raises(InputError, match="can hold one device; record host and raspberry-pi-4 one by one"):
        measure(files, ["host", "raspberry-pi-4"], settings, QUERIES, NoProgress(), options=options)


def test_an_empty_recording_says_how_one_is_made(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="make one with `pocketrank benchmark … --record"):
        open_target(f"replay:{tmp_path / 'empty.jsonl'}")


# ARM emulation


@pytest.fixture(scope="module")
def emulation():
    try:
        return qemu_setup.read_setup()
    except UnavailableError as error:
        pytest.skip(str(error))


def test_missing_emulation_names_the_command(tmp_path, monkeypatch, pocketrank, bundle):
    if platform.machine() in ("aarch64", "arm64"):
        pytest.skip("this machine is ARM: boards are limited, not emulated")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="run `pocketrank devices --setup qemu`"):
        open_target("raspberry-pi-4")
    done = pocketrank("benchmark", bundle, "--device", "raspberry-pi-4")
    assert done.returncode == 3
    assert "pocketrank devices --setup qemu" in done.stderr


def test_a_changed_system_is_refused(emulation, monkeypatch):
    changed = dataclasses.replace(emulation, tree_sha256="0" * 64)
    with pytest.raises(UnavailableError, match="the emulated system has changed since it was set up"):
        qemu_setup.verify_setup(changed)
    qemu_setup.verify_setup(emulation)


def test_the_worker_lock_is_part_of_the_device_lock():
    device = REPOSITORY / "requirements" / "device.lock"
    lines = set(device.read_text(encoding="utf-8").splitlines())
    pinned = [line for line in qemu_setup.WORKER_LOCK.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert {line.split("==")[0] for line in pinned if "==" in line} == {"numpy", "tokenizers", "onnxruntime"}
    assert {line.rstrip(" \\") for line in pinned} <= {line.rstrip(" \\") for line in lines}


def test_the_processor_of_a_profile_is_shown(tmp_path):
    show_processor(tmp_path, read_profile("raspberry-pi-5").cores[0])
    text = (tmp_path / "proc/cpuinfo").read_text()
    assert text.count("CPU part\t: 0xd0b") == 4
    assert "asimddp" in text
    assert (tmp_path / "sys/devices/system/cpu/possible").read_text() == "0-3\n"


def test_emulated_board_computes_the_same_and_counts_repeatably(emulation, bundle, tmp_path):
    files = [models.find_model(bundle)]
    counting = dataclasses.replace(QUICK, repetitions=3, min_queries=800)
    recording = tmp_path / "recording.jsonl"
    options = TargetOptions(record=recording)
    (found,) = measure(files, ["qemu:raspberry-pi-4"], counting, QUERIES, NoProgress(), options=options).devices
    assert found.machine["architecture"] == "aarch64"
    assert found.machine["cpu_part"] == "0xd08"
    (golden,) = found.golden
    assert golden.passed, golden.detail
    assert found.find("golden_difference", "miniature").kind == "emulated"
    latency = found.find("latency_p50", "miniature")
    assert latency.value is None
    assert "emulated processor" in latency.reason
    if emulation.counter:
        assert found.find("instructions_per_query", "miniature") is None
        return
    counted = found.find("instructions_per_query", "miniature")
    assert counted.kind == "counted"
    assert 10_000 < counted.value < 10_000_000
    assert len(counted.processes) == 3
    # Equal to 0.001 % on a quiet machine; beside six busy processes up to 0.3 % apart.
    assert max(counted.processes) / min(counted.processes) - 1 < 0.005
    (played,) = measure(files, [f"replay:{recording}"], counting, QUERIES, NoProgress()).devices
    assert played.target == "replay"
    assert played.find("instructions_per_query", "miniature").value == counted.value
    assert played.golden == found.golden


def test_an_instruction_that_the_processor_lacks_is_a_result(emulation, tmp_path):
    """`.inst 0` is undefined on every ARM processor."""
    code = (
        "import ctypes, mmap\npage = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes(4))\n"
        "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()"
    )
    if not list((qemu_setup.cache_folder() / "root").glob("usr/lib/python3*/lib-dynload/_ctypes*")):
        pytest.skip("the emulated Python has no ctypes")
    with QemuTarget(read_profile("raspberry-pi-3b-plus")) as target:
        done = target.run(script(tmp_path, code), "", timeout=60)
    assert done.outcome == "illegal instruction"
    assert "Illegal instruction" in done.detail


# A real board, played by this machine's own ssh server


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Start a real sshd on loopback with keys of its own; return (address, client configuration)."""
    daemon = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
    if daemon is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is missing; apt-get install openssh-server openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(key, check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile {folder}/pid\nSubsystem sftp internal-sftp\n"
    )
    public = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own empty folder; a service makes it on boot
    process = subprocess.Popen([daemon, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.PIPE)
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    else:
        process.terminate()
        _, said = process.communicate(timeout=60)
        pytest.skip(f"sshd does not start here: {said.decode(errors='replace').strip()[-200:]}")
    yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}", folder / "config"
    process.terminate()
    process.communicate(timeout=60)


def test_files_travel_under_names_of_ours(tmp_path, monkeypatch):
    """The old protocol of scp gives the name over there to a shell; scripts play both tools here."""
    bundle = write_bundle(tmp_path / "bundle")
    name = "onnx/$(touch caught)`touch caught`;touch caught #.onnx"
    (bundle / "onnx" / "model_quantized.onnx").rename(bundle / name)
    variants = {"model": Variant("onnx/model.onnx"), "model_quantized": Variant(name)}
    write_manifest(bundle, variants=variants)
    assert all(check.passed for check in verify_bundle(bundle))
    tools = tmp_path / "tools"
    tools.mkdir()
    skip = 'while [ "$1" != -- ]; do [ "$1" = -O ] && exit 0; shift; done; shift 2'
    (tools / "ssh").write_text(f'#!/bin/sh\n{skip}\nexec env -i PATH="$PATH" sh -c "$1"\n')
    (tools / "scp").write_text('#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\nexec sh -c "cat > ${2#*:}" < "$1"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    options = TargetOptions(python=sys.executable)
    (device,) = measure(
        [models.find_model(bundle)], ["ssh://pi@board"], QUICK, QUERIES, NoProgress(), options=options
    ).devices
    assert [run.detail for run in device.runs] == ["", ""]
    assert device.golden[0].passed, device.golden[0].detail
    assert not list(tmp_path.rglob("caught"))


def traces() -> set[str]:
    return {str(path) for pattern in ("pocketrank.*", "pr-*") for path in Path("/tmp").glob(pattern)}


def test_a_board_is_measured_and_left_clean(board, bundle):
    address, config = board
    before = traces()
    options = TargetOptions(python=sys.executable, ssh_config=config)
    report = measure([models.find_model(bundle)], [address], QUICK, QUERIES, NoProgress(), options=options)
    (device,) = report.devices
    assert (device.device, device.target) == (address, "ssh")
    assert device.find("latency_p50", "miniature").kind == "measured"
    assert device.find("cold_start_interpreter", "miniature").value > 0
    assert device.golden[0].passed, device.golden[0].detail
    assert traces() <= before


def test_ends_on_the_board_are_told_apart(board, tmp_path):
    address, config = board
    with SshTarget(address, TargetOptions(python=sys.executable, ssh_config=config)) as target:
        assert target.run(script(tmp_path, "import sys; print(sys.stdin.read() * 2)"), "ab").output == "abab\n"
        slow = target.run(script(tmp_path, "import time; time.sleep(30)"), "", timeout=1)
        assert slow.outcome == "timeout"
        killed = target.run(script(tmp_path, "import os; os.kill(os.getpid(), 9)"), "")
        assert killed.outcome == "out of memory"
        illegal = target.run(script(tmp_path, "import os; os.kill(os.getpid(), 4)"), "")
        assert illegal.outcome == "illegal instruction"
        failed = target.run(script(tmp_path, "raise SystemExit('no such operator')"), "")
        assert (failed.outcome, failed.detail) == ("failed", "no such operator")


def test_an_unknown_host_key_is_refused(board, tmp_path):
    address, config = board
    (tmp_path / "known").write_text("")
    other = tmp_path / "config"
    other.write_text(config.read_text().replace(f"{config.parent}/known", f"{tmp_path}/known"))
    with pytest.raises(UnavailableError, match="cannot be reached: Host key verification failed"):
        SshTarget(address, TargetOptions(ssh_config=other)).__enter__()


def test_an_unreachable_board_is_named(board, pocketrank, bundle):
    _, config = board
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        words = ("--device", f"ssh://pi@127.0.0.1:{port}", "--ssh-config", config)
        done = pocketrank("benchmark", bundle, *words)
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr
    assert "Connection refused" in done.stderr


@pytest.mark.skipif(
    "POCKETRANK_NETWORK_TESTS" not in os.environ, reason="downloads 45 MB; set POCKETRANK_NETWORK_TESTS"
)
def test_an_environment_is_made_on_the_board(board, bundle):
    address, config = board
    before = traces()
    options = TargetOptions(ssh_config=config)
    report = measure([models.find_model(bundle)], [address], QUICK, QUERIES, NoProgress(), options=options)
    assert report.devices[0].machine["libraries"]["onnxruntime"] in qemu_setup.WORKER_LOCK.read_text()
    assert traces() <= before
