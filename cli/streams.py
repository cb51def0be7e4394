"""The streams of the command line, and how a command ends when one of them, the system or we ourselves fail."""

import errno
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from ..runtime.errors import InputError

INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
CLOSED_PIPE = 141  # as a shell reports a process that SIGPIPE ended

# What the user's own names and disks cause: bad input, like every other name that cannot be used.
_USERS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT)


_interrupts: list[int] = []


def watch_interrupts() -> None:
    """Remember an interrupt, because extension modules turn one that falls into their import into an ImportError."""

    def remember(number: int, frame: object) -> None:
        _interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)


def was_interrupted() -> bool:
    """Tell whether an interrupt came."""
    return bool(_interrupts)


def end(code: int) -> NoReturn:
    """End the process with `code`; an interrupt that comes now comes too late.

    After an interrupt at once: `python -m` else ends itself by the signal when the interrupt fell into code that a
    library compiled from text, such as a dataclass.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def prepare_streams() -> None:
    """Make output possible where a stream is closed or knows few characters: lost, or with `?` for what it lacks.

    The numbers of closed streams are taken, or the next file that is opened would get one, and with it what libraries
    and other processes write to the stream.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open until the process ends
        elif hasattr(stream, "reconfigure"):
            # Names of files may hold bytes that are no text; \udcff for one is valid in JSON too.
            stream.reconfigure(errors="backslashreplace" if knows_unicode(stream.encoding) else "replace")


def knows_unicode(encoding: str | None) -> bool:
    """Tell whether every character can be written in `encoding`."""
    return (encoding or "").lower().replace("-", "").startswith("utf")


def complain(message: str) -> None:
    """Write one line on the error stream, whatever the message holds: names may contain control characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in message).split())
    try:
        sys.stderr.write(f"pocketrank: error: {line}\n")
        sys.stderr.flush()
    except OSError:
        close_output()


def complain_of_system(error: OSError) -> int:
    """Say what the system refused, and return the exit code: 2 for names and disks of the user, else 70."""
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in _FULL:
        complain(f"{name or 'the output cannot be written: '}{error.strerror}; free some space and run again")
        close_output()
        return InputError.exit_code
    if error.errno == errno.ENOENT and not error.filename:  # os.getcwd, which names no file
        complain("the working folder no longer exists; change to another one and run again")
        return InputError.exit_code
    if error.filename and error.errno in _USERS:
        complain(f"{str(error.filename)[:120]}: {error.strerror}; check the path")
        return InputError.exit_code
    complain(f"an error inside pocketrank: {keep_traceback()}")
    return INTERNAL_ERROR


def close_output() -> None:
    """Point the standard streams to nowhere, so that what is left in their buffers raises nothing at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue


def keep_traceback() -> str:
    """Keep the traceback of the error that is handled now in a file; return the error, the file and what to send."""
    text = traceback.format_exc()
    kind, value, _ = sys.exc_info()
    what = f"{kind.__name__ if kind else 'error'}: {value}"
    for folder in (tempfile.gettempdir, os.getcwd):
        try:
            handle, name = tempfile.mkstemp(prefix="pocketrank-error-", suffix=".txt", dir=folder())
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{sys.argv}\n{text}")
        except OSError:
            continue
        return f"{what}; the traceback is in {Path(name)}, send it with the command to the project's issues"
    sys.stderr.write(text)
    return f"{what}; send the traceback above with the command to the project's issues"
