"""Labelling on a Ray cluster of this machine: the bytes of a run without it, whatever is lost on the way."""

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from pocketrank.pipeline.settings import Recipe, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.teacher.vectors import cluster as cluster_module
from pocketrank.pipeline.teacher.vectors.cluster import check_place
from pocketrank.runtime.errors import InputError, UnavailableError
from pocketrank.runtime.progress import NoProgress

OUTPUTS = ("documents.npy", "queries.npy", "training.npy", "projection.safetensors", "teacher.json")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("teacher") / "small-teacher")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder)
    return folder


def context(inputs: Path, folder: Path, teacher: Path, on: str = "local") -> StageContext:
    recipe = Recipe("test", teacher=TeacherSettings(model=str(teacher), dimension=8, shard_texts=4, workers=1))
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {name: inputs / name for name in ("corpus", "queries")}
    return StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress(), on)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """A head without cores and two nodes of one core, all on this machine."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def _workers(node: Any) -> list[int]:
    """Return the processes of a node that compute tasks."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_encode")]


def test_a_killed_worker_and_a_lost_node_do_not_change_the_bytes(
    teacher: Path, inputs: Path, tmp_path: Path, ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_teacher(context(inputs, tmp_path / "local", teacher))
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    write, killed, written = cluster_module.write_shard, [], []

    def lose_something(path: Path, vectors: np.ndarray) -> None:
        write(path, vectors)
        written.append(path.name)
        nodes = ray_cluster.list_all_nodes()
        if len(written) >= 3 and not killed:
            for pid in [pid for node in nodes[1:] for pid in _workers(node)][:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        if len(written) == 8:
            ray_cluster.remove_node(nodes[-1], allow_graceful=False)

    monkeypatch.setattr(cluster_module, "write_shard", lose_something)
    run_teacher(context(inputs, tmp_path / "cluster", teacher, on="ray"))
    assert killed and len(written) > 20 and len(ray_cluster.list_all_nodes()) == 2
    for name in OUTPUTS:
        assert (tmp_path / "cluster" / "output" / name).read_bytes() == (
            tmp_path / "local" / "output" / name
        ).read_bytes()
    monkeypatch.setattr(cluster_module, "encode_on_cluster", lambda *_: pytest.fail("shards were computed again"))
    run_teacher(context(inputs, tmp_path / "cluster", teacher, on="ray"))


@pytest.mark.parametrize("on", ["cluster", "ray://head", "ray://head:ten", "http://head:10001"])
def test_a_place_that_is_none_is_refused(on: str) -> None:
    with pytest.raises(InputError, match=r'--on .*: choose "local", "ray" .* or ray://HEAD:PORT'):
        check_place(on)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert check_place("local") == "local"
    with pytest.raises(UnavailableError, match=r"--on ray needs the package ray; run: pip install 'pocketrank\[ray\]'"):
        check_place("ray")


def test_a_node_with_other_libraries_is_refused() -> None:
    versions = cluster_module.library_versions() | {"torch": "1.0"}
    with pytest.raises(InputError, match=r"other versions, which give other vectors: torch 1\.0 \(here "):
        cluster_module._check_versions(versions)
