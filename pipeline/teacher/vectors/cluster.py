"""Shards computed on a Ray cluster (https://docs.ray.io): `pocketrank run … --on ray://HEAD:PORT`.

A shard is a task of one core that any node may compute, as often as it takes: what a node or a process that is lost has
not returned is computed elsewhere. The bytes are those of a run without a cluster, as long as its processors are of one
kind. The driver alone writes files, so nodes need our code and our libraries, and no folder that all see.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ....runtime.errors import InputError, PocketrankError, UnavailableError
from ....runtime.extras import require
from ...code_version import library_versions
from .files import write_shard

if TYPE_CHECKING:
    import numpy as np

    from ..protocol import Precision, Role, Teacher
    from .shards import Shard

LOCAL, HERE, HEAD = "local", "ray", "ray://"
_AHEAD = 2  # shards that wait for each core

_teachers: dict[str, Any] = {}  # of this process on a node; the last one alone


def check_place(on: str) -> str:
    """Return `on`, where shards are computed; raise `InputError` for what is none, and where Ray is missing."""
    if on != LOCAL:
        host, _, port = on.removeprefix(HEAD).rpartition(":")
        if on != HERE and not (on.startswith(HEAD) and host and port.isdecimal()):
            raise InputError(f'--on {on}: choose "local", "ray" (a cluster of this machine) or ray://HEAD:PORT')
        require(f"--on {on}", "ray")
    return on


def encode_on_cluster(teacher: "Teacher", shards: "Iterator[Shard]", on: str) -> Iterator[tuple[int, int]]:
    """Compute shards on a cluster and write their files; yield texts and tokens of each when it is done.

    Raises `InputError` for a node whose libraries are other versions than the driver's.
    """
    with _connected(on) as ray:
        reference = ray.put(teacher)  # sent once to a node
        task = ray.remote(num_cpus=1, max_retries=-1)(_encode)
        most = _AHEAD * max(int(ray.cluster_resources().get("CPU", 0)), 1)
        running: dict[Any, Shard] = {}
        while True:
            while len(running) < most and (shard := next(shards, None)) is not None:
                running[task.remote([reference], shard.texts, shard.role, shard.precision)] = shard
            if not running:
                return
            for done in ray.wait(list(running))[0]:
                vectors, tokens, versions = _result(ray, done)
                _check_versions(versions)
                shard = running.pop(done)
                write_shard(shard.path, vectors)
                yield len(shard.texts), tokens


@contextmanager
def _connected(on: str) -> Iterator[Any]:
    """Join the cluster at `on`; of this machine the one that RAY_ADDRESS names, or a new one."""
    ray: Any = importlib.import_module("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(on if on.startswith(HEAD) else None, log_to_driver=False, logging_level="error")
    except ConnectionError:
        raise UnavailableError(f"--on {on}: no Ray cluster answers there; check its address and `ray status`") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _result(ray: Any, done: Any) -> Any:
    """Return what a task returned; raise an error of ours as the node raised it."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PocketrankError):
            raise error.cause from None
        raise


def _encode(
    references: list[Any], texts: tuple[str, ...], role: "Role", precision: "Precision"
) -> "tuple[np.ndarray, int, dict[str, str]]":
    """Return the vectors of a shard, its tokens, and the versions of this node's libraries."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    ray: Any = importlib.import_module("ray")
    torch.set_num_threads(1)
    reference = references[0]  # in a list, so that the teacher is not read anew for every shard
    if reference.hex() not in _teachers:
        _teachers.clear()
        _teachers[reference.hex()] = ray.get(reference)
    teacher: Teacher = _teachers[reference.hex()]
    return teacher.encode(texts, role, precision), sum(teacher.lengths(texts, role)), library_versions()


def _check_versions(versions: dict[str, str]) -> None:
    own = library_versions()
    other = [f"{name} {versions.get(name)} (here {version})" for name, version in own.items()
             if versions.get(name) != version]  # fmt: skip
    if other:
        raise InputError(
            f"a node of the cluster has other versions, which give other vectors: {', '.join(other)}; install the same"
        )
