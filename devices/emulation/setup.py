"""Make ARM emulation ready: an ARM Python with the real ARM wheels, and the plugin that counts instructions.

Everything lands in the user's cache folder. ARM packages are fetched with a private set of apt folders, so that the
system's own packages and architectures stay as they are. The three wheels are pinned by hash in `worker.lock`. Debian
replaces its packages now and then, so theirs cannot be pinned for good: their names, versions and hashes (apt checks
them against Debian's signatures) are written down at set-up, together with a hash over every file that came out of
all of it, and that hash is checked again before each use.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import PocketrankError, UnavailableError
from ...runtime.files import atomic_folder, read_json, sha256_file, write_json
from ...runtime.progress import Progress
from ...runtime.schema import from_mapping, to_mapping

SETUP_COMMAND = "pocketrank devices --setup qemu"
WORKER_LOCK = Path(__file__).with_name("worker.lock")
_COUNTER_SOURCE = Path(__file__).with_name("instruction_counter.c")
_QEMU = "qemu-aarch64"
_ARM = "arm64"  # Debian's name of aarch64
_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgcc-s1", "libc6", "zlib1g", "libgomp1")
_WHEEL_PLATFORMS = tuple(f"manylinux{glibc}_aarch64" for glibc in ("_2_28", "_2_27", "_2_17", "2014"))
_RECORD = "setup.json"
VERSION = 1


@dataclass(frozen=True)
class DebianPackage:
    """A package as it was fetched."""

    file: str  # name_version_architecture.deb
    sha256: str


@dataclass(frozen=True)
class QemuSetup:
    """What was set up. Paths are below the cache folder, except qemu's own."""

    version: int
    qemu: str
    qemu_version: str
    python: str  # such as 3.11
    wheels: dict[str, str]  # name -> version
    packages: tuple[DebianPackage, ...]
    counter: str  # empty, or why instructions cannot be counted
    tree_sha256: str  # over every file of root, site and counter


def cache_folder() -> Path:
    """Return the folder that holds the emulated system."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pocketrank" / "qemu-aarch64"


def read_setup() -> QemuSetup:
    """Return the record of the set-up; raise `UnavailableError` that names the command when there is none."""
    path = cache_folder() / _RECORD
    if not path.is_file():
        raise UnavailableError(f"ARM emulation is not set up on this machine; run `{SETUP_COMMAND}`")
    mapping = read_json(path)
    if not isinstance(mapping, dict) or mapping.get("version") != VERSION:
        raise UnavailableError(f"ARM emulation was set up by another version; run `{SETUP_COMMAND}` again")
    setup = from_mapping(QemuSetup, mapping, str(path))
    if not Path(setup.qemu).is_file():
        raise UnavailableError(f"{setup.qemu} is gone since the set-up; run `{SETUP_COMMAND}` again")
    return setup


def verify_setup(setup: QemuSetup) -> None:
    """Raise `UnavailableError` when a file of the emulated system, or qemu, is not what was set up."""
    changed = tree_sha256(cache_folder()) != setup.tree_sha256
    if changed or qemu_version(setup.qemu) != setup.qemu_version:
        what = "the emulated system" if changed else "qemu"
        raise UnavailableError(f"{what} has changed since it was set up; run `{SETUP_COMMAND}` again")


def tree_sha256(folder: Path) -> str:
    """Return a hash over names, links and contents of everything that runs, in a fixed order."""
    digest = hashlib.sha256()
    for part in ("root", "site", "counter"):
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                digest.update(f"{name} -> {path.readlink()}\n".encode())
            elif path.is_file():
                digest.update(f"{name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def set_up(progress: Progress) -> QemuSetup:
    """Fetch, unpack, build and try everything; replace an older set-up only when all of it works."""
    qemu = _find_qemu(progress)
    target = cache_folder()
    with atomic_folder(target) as folder:
        with progress.task("set up ARM emulation", 4, "steps") as task:
            packages = _fetch_system(folder)
            task.advance()
            python = _python_of(folder / "root")
            wheels = _fetch_wheels(folder / "site", python)
            task.advance()
            counter = _build_counter(folder / "counter", qemu)
            task.advance()
            _try_out(folder, qemu, python)
            task.advance()
        setup = QemuSetup(VERSION, qemu, qemu_version(qemu), python, wheels, packages, counter, tree_sha256(folder))
        write_json(folder / _RECORD, to_mapping(setup))
    progress.note(f"ARM emulation is ready in {target}")
    if counter:
        progress.note(f"instructions will not be counted: {counter}")
    return setup


def guest_command(setup: QemuSetup, folder: Path, root: Path, cpu: str, counts: Path | None = None) -> list[str]:
    """Return what starts the emulated Python: `root` is the tree it sees as /, `counts` the file of the counter."""
    plugin = ["-plugin", f"{folder / 'counter' / 'instruction_counter.so'},out={counts}"] if counts else []
    python = root / "usr" / "bin" / f"python{setup.python}"
    # -P: the script's folder does not count; -s, -S: nor do the user's and the system's packages, which are not there.
    # -seed, -B 0: the same random numbers in every process, see instruction_counter.c.
    return [setup.qemu, "-cpu", cpu, "-seed", "1", "-B", "0", "-L", str(root), *plugin, str(python), "-P", "-s", "-S"]


def guest_environment(folder: Path) -> dict[str, str]:
    """Return the whole environment of an emulated process; nothing of the caller's, so that counts repeat."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(folder / "site"),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def qemu_version(qemu: str) -> str:
    """Return what `qemu --version` calls itself."""
    done = _run([qemu, "--version"], "qemu does not start")
    return done.splitlines()[0].removeprefix(f"{_QEMU} version ").strip() if done else ""


def _find_qemu(progress: Progress) -> str:
    qemu = shutil.which(_QEMU)
    if qemu:
        return qemu
    if shutil.which("apt-get") is None:
        raise UnavailableError(f"{_QEMU} is missing and so is apt-get; install qemu's user emulation, then run again")
    if os.geteuid() != 0:
        raise UnavailableError(
            f"{_QEMU} is missing; run `sudo apt-get install qemu-user`, then `{SETUP_COMMAND}` again"
        )
    progress.note("installing qemu-user")
    _run(["apt-get", "update", "-q"], "apt-get update failed")
    _run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "qemu-user"], "qemu-user cannot be installed")
    qemu = shutil.which(_QEMU)
    if qemu is None:
        raise UnavailableError(f"qemu-user is installed, but {_QEMU} is not on the PATH; fix the PATH")
    return qemu


def _fetch_system(folder: Path) -> tuple[DebianPackage, ...]:
    """Unpack an ARM Python into `folder`/root with apt folders of its own, which are removed afterwards."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is missing: ARM packages come from Debian; set up on Debian or Ubuntu")
    apt = (folder / "apt").resolve()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    options = [
        f"Dir::State={apt / 'state'}",
        f"Dir::State::status={apt / 'status'}",
        f"Dir::Cache={apt / 'cache'}",
        f"APT::Architecture={_ARM}",
        f"APT::Architectures={_ARM}",
        "APT::Install-Recommends=0",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
    ]
    flags = [word for option in options for word in ("-o", option)]
    _run(["apt-get", *flags, "update", "-q"], "apt cannot read the lists of ARM packages")
    fetch = ["apt-get", *flags, "install", "-y", "-q", "--download-only", *_PACKAGES]
    _run(fetch, "the apt sources of this machine offer no arm64 packages")
    root, packages = folder / "root", []
    root.mkdir()
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        packages.append(DebianPackage(package.name, sha256_file(package)))
        _run(["dpkg-deb", "--extract", str(package), str(root)], f"{package.name} cannot be unpacked")
    shutil.rmtree(apt)
    return tuple(packages)


def _python_of(root: Path) -> str:
    interpreters = sorted((root / "usr" / "bin").glob("python3.[0-9]*"))
    if not interpreters:
        raise PocketrankError(f"no Python came with the ARM packages; run `{SETUP_COMMAND}` again")
    return interpreters[-1].name.removeprefix("python")


def _fetch_wheels(site: Path, python: str) -> dict[str, str]:
    """Install the pinned wheels for aarch64 into `site`; a wheel with another hash is refused by pip itself."""
    pip = [sys.executable, "-m", "pip"]
    command = [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(WORKER_LOCK), "--target", str(site), "--no-compile"]
    command += ["--implementation", "cp", "--python-version", python]
    command += [word for name in _WHEEL_PLATFORMS for word in ("--platform", name)]
    _run(command, "the ARM wheels cannot be fetched")
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == python:
        # The same minor version reads the same byte code, and compiling under emulation takes minutes.
        _run([sys.executable, "-m", "compileall", "-q", "-j", "1", str(site)], "the wheels cannot be compiled")
    return dict(path.stem.split("-", 1) for path in sorted(site.glob("*.dist-info")))


def _build_counter(folder: Path, qemu: str) -> str:
    """Compile the plugin and count a trivial program with it; return why it cannot be used, or nothing."""
    folder.mkdir()
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        return "there is no C compiler; install gcc and set up again"
    library = folder / "instruction_counter.so"
    _run([compiler, "-shared", "-fPIC", "-O2", str(_COUNTER_SOURCE), "-o", str(library)], "the counter does not build")
    done = subprocess.run(
        [qemu, "-plugin", f"{library},out=/dev/null", "/nonexistent"], capture_output=True, text=True, check=False
    )
    if "plugin" in done.stderr:  # an older or static qemu refuses before it looks for the program
        library.unlink()
        return f"this qemu takes no plugins of interface version 1 ({done.stderr.strip().splitlines()[-1]})"
    return ""


def _try_out(folder: Path, qemu: str, python: str) -> None:
    """Start the emulated Python once; the wheels are tried under a board's own processor when one is measured."""
    setup = QemuSetup(VERSION, qemu, "", python, {}, (), "", "")
    command = guest_command(setup, folder, folder / "root", "cortex-a53")
    said = _run(
        [*command, "-c", "import platform; print(platform.machine())"],
        "the emulated Python does not start",
        guest_environment(folder),
    )
    if said.strip() != "aarch64":
        raise PocketrankError(
            f"the emulated Python says it runs on {said.strip()!r}, not aarch64 (host: {platform.machine()})"
        )


def _run(command: Sequence[str], failure: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UnavailableError(
            f"{failure}: {lines[-1] if lines else done.returncode}; fix that, then `{SETUP_COMMAND}`"
        )
    return done.stdout
