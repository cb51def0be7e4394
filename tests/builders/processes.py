"""Processes forked from one that has imported the heavy libraries: importing them again costs seconds each time."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from builders.tiny_recipe import REPOSITORY

FORKED = multiprocessing.get_context("forkserver")
# Without onnxruntime: its import starts a thread, which no fork takes along, and is quick.
FORKED.set_forkserver_preload(
    [
        "onnx",
        "pandas",
        "rich.table",
        "safetensors.torch",
        "sentence_transformers",
        "sklearn.preprocessing",
        "torch",
        "transformers.models.bert.modeling_bert",
    ]
)


def run_command(*words: object, cwd: Path = REPOSITORY, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run `pocketrank` in a process of its own and return what it printed."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = start_command(*words, cwd=cwd, output=output, errors=errors)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([*map(str, words)], timeout)
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read())
        return subprocess.CompletedProcess([*map(str, words)], process.exitcode, *texts)


def start_command(*words: object, output: IO[str], errors: IO[str], cwd: Path = REPOSITORY) -> BaseProcess:
    """Start `pocketrank` in a process of its own, which writes to the two files."""
    streams = [Connection(os.dup(stream.fileno()), readable=False) for stream in (output, errors)]
    process = FORKED.Process(target=_command, args=([*map(str, words)], cwd, dict(os.environ), *streams))
    process.start()
    for stream in streams:
        stream.close()
    return process


def children_of(process: int | None, word: str = "") -> list[int]:
    """Return the living processes that a process (of Linux) has started with `word` on their command line."""
    numbers = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(number) for number in numbers if word in _command_line(number)]


def _command_line(number: str) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def _command(
    words: list[str], cwd: Path, environment: Mapping[str, str], output: Connection, errors: Connection
) -> None:
    """Be the process `pocketrank`."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for connection, number in ((output, 1), (errors, 2)):
        os.dup2(connection.fileno(), number)
        connection.close()
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  as long as the process lives
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["pocketrank", *words]
    from pocketrank.cli.main import entry

    entry()
