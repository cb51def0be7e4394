"""The locks: hashed, without addresses, whole, without doubles, and with torch's CPU build for every machine."""

import re
import runpy
import tomllib

import pytest
from builders.tiny_recipe import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = REPOSITORY / "requirements"
LOCKS = sorted(path.name for path in FOLDER.glob("*.lock"))
# What is installed together, and the extras of pyproject.toml that it is for.
TOGETHER = {
    ("torch-cpu", "factory"): ("build", "report", "sign"),
    ("torch-cpu", "factory", "test"): ("build", "report", "sign", "energy", "test"),
    ("torch-cpu", "factory", "test", "lint"): ("build", "report", "sign", "energy", "test", "lint"),
}
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))
MACHINES = [
    {
        "sys_platform": system,
        "platform_system": name,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.1",
    }
    for system, name, machine in SYSTEMS
    for minor in (11, 12, 13, 14)
]


def pinned(lock: str) -> list[Requirement]:
    text = (FOLDER / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Requirement(line.split(" --hash")[0]) for line in lines]


def on(machine: dict[str, str], lock: str) -> dict[str, Requirement]:
    rows = [item for item in pinned(lock) if not item.marker or item.marker.evaluate(machine)]
    assert len({item.name for item in rows}) == len(rows), f"{lock} has two versions of a package for one machine"
    return {canonicalize_name(item.name): item for item in rows}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_is_pinned_and_hashed_and_has_no_address(lock: str) -> None:
    text = (FOLDER / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    entry = re.compile(r"[a-z0-9._-]+==\S+( ; .*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert not [line for line in lines if not entry.fullmatch(line)]
    assert "://" not in "".join(lines)


@pytest.mark.parametrize("locks", TOGETHER)
def test_what_is_asked_for_is_there_once_on_every_machine(locks: tuple[str, ...]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (project["optional-dependencies"][extra] for extra in TOGETHER[locks])
    asked = [Requirement(text) for texts in (project["dependencies"], *extras) for text in texts]
    for machine in MACHINES:
        found = [on(machine, f"{lock}.lock") for lock in locks]
        names = [name for rows in found for name in rows]
        assert len(names) == len(set(names)), "no package stands in two locks that are installed together"
        versions = {name: item.specifier for rows in found for name, item in rows.items()}
        for item in asked:
            (version,) = versions[canonicalize_name(item.name)]
            assert item.specifier.contains(version.version), item
        expected = "2.13.0" if machine["sys_platform"] == "darwin" else "2.13.0+cpu"
        assert str(versions["torch"]) == f"=={expected}"
        assert not [name for name in versions if name.startswith(("nvidia-c", "cuda-", "triton"))]


def test_the_device_gets_what_the_base_imports() -> None:
    for machine in MACHINES:
        device = set(on(machine, "device.lock"))
        assert {"numpy", "tokenizers", "onnxruntime", "rich"} <= device < set(on(machine, "factory.lock"))


def test_hashes_of_torch_are_read_from_an_index() -> None:
    builds = (
        ("%2Bcpu", "manylinux_2_28_x86_64"),
        ("%2Bcpu", "manylinux_2_28_aarch64"),
        ("%2Bcpu", "win_amd64"),
        ("", "macosx_14_0_arm64"),
    )
    names = [
        f"torch-9.0{local}-{python}-{python}-{tag}.whl"
        for python in ("cp311", "cp312", "cp313", "cp314", "cp310", "cp315")
        for local, tag in builds
    ]
    page = "\n".join(f'<a href="/whl/{name}#sha256={row:064x}">{name}</a><br/>' for row, name in enumerate(names))
    made = runpy.run_path(str(FOLDER / "torch_hashes.py"))["lock"](page, "9.0")
    linux, mac = made.split("torch==9.0 ;")
    assert linux.startswith("torch==9.0+cpu ; sys_platform == 'linux' \\\n")
    assert [int(text, 16) for text in re.findall(r"sha256:(\w+)", linux)] == [1, 0, 5, 4, 9, 8, 13, 12]
    assert [int(text, 16) for text in re.findall(r"sha256:(\w+)", mac)] == [3, 7, 11, 15]
