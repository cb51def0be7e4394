"""How a command ends when a stream, a name or the machine fails: one line, and never exit code 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.tiny_recipe import REPOSITORY
from pocketrank.cli import main as command_line

POCKETRANK = [sys.executable, "-m", "pocketrank"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", line, *POCKETRANK]
    variables = {**os.environ, **environment}
    return subprocess.run(words, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ('"$0" "$@" devices | true; exit ${PIPESTATUS[0]}', 141, ""),
        ('"$0" "$@" --help | true; exit ${PIPESTATUS[0]}', 141, ""),
        ('"$0" "$@" devices > /dev/full', 2, "No space left"),
        ('"$0" "$@" devices --json > /dev/full', 2, "No space left"),
        ('"$0" "$@" verify $(printf "a%.0s" $(seq 300))', 2, "File name too long"),
        ('"$0" "$@" verify Makefile/x', 2, "no folder"),
        ('unset HOME; "$0" "$@" verify "~/x"', 2, "no folder"),
        ('"$0" "$@" devices <&- >&-', 0, ""),
        ('"$0" "$@" verify nowhere <&- >&- 2>&-', 2, ""),
        (
            'cd $(mktemp -d) && rmdir $PWD && "$0" "$@" run $OLDPWD/recipes/pydocs.toml',
            2,
            "working folder no longer exists",
        ),
        ('cd $(mktemp -d) && rmdir $PWD && "$0" "$@" devices', 0, ""),
    ],
)
def test_streams_and_names_that_fail(line: str, code: int, words: str) -> None:
    # `true` may be gone before or after the command writes: a reader that took everything is no failure.
    done = shell(line)
    assert done.returncode in ((code, 0) if code == 141 else (code,)), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (1 if words else 0)
    assert words in done.stderr


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    code = (
        "import os, sys; from pocketrank.cli.streams import prepare_streams\n"
        "prepare_streams(); file = open(os.devnull); sys.exit(0 if file.fileno() > 2 else 9)"
    )
    assert shell(f"{sys.executable} -c '{code}' <&- >&- 2>&-").returncode == 0


def test_a_terminal_that_knows_ascii_alone_gets_tables_and_json() -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    assert shell('"$0" "$@" devices', **ascii_only).returncode == 0
    done = shell('"$0" "$@" devices --json', **ascii_only)
    assert done.returncode == 0 and done.stdout.isascii()


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), OSError(5, "Input/output error")])
def test_an_unforeseen_error_is_one_line_a_kept_traceback_and_exit_70(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(command_line, "_run", fail)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert command_line.main(["devices"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    (kept,) = tmp_path.glob("pocketrank-error-*.txt")
    assert str(kept) in line and type(error).__name__ in line and "send it" in line
    assert "Traceback" in kept.read_text()


def test_without_a_temporary_folder_the_traceback_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(words: list[str]) -> int:
        raise ValueError("unforeseen")

    monkeypatch.setattr(command_line, "_run", fail)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "absent"))
    monkeypatch.setattr("os.getcwd", lambda: str(tmp_path / "absent"))
    assert command_line.main(["devices"]) == 70
    assert "traceback above" in capsys.readouterr().err.splitlines()[-1]
