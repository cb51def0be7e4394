"""The entry point `pocketrank`: find the command, run it, turn errors into one line and an exit code."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..runtime.errors import InputError, PocketrankError
from ..runtime.extras import brought_by_extra, missing_packages
from ..runtime.schema import did_you_mean
from .streams import (
    CLOSED_PIPE,
    INTERNAL_ERROR,
    INTERRUPTED,
    close_output,
    complain,
    complain_of_system,
    end,
    keep_traceback,
    prepare_streams,
    was_interrupted,
    watch_interrupts,
)

# name -> (module, one line of help). Modules are imported only when their command is used, so that
# `pocketrank --help` stays fast. A command module has `configure(parser)` and `execute(arguments) -> int`.
COMMANDS = {
    "run": ("run", "run a recipe: from teacher and corpus to a gated bundle"),
    "inspect": ("inspect", "explain the bytes of a bundle or an ONNX file"),
    "verify": ("verify", "check a bundle against its manifest and replay its golden vectors"),
    "sign": ("sign", "sign a bundle with a private key, offline"),
    "evaluate": ("evaluate", "measure the ranking quality of a bundle on a retrieval set"),
    "index": ("index", "encode a corpus with a bundle into a searchable index, and keep it up to date"),
    "search": ("search", "search an index or a bundle's own corpus"),
    "demo": ("demo", "write one page that searches a corpus in the browser, offline"),
    "benchmark": ("benchmark", "measure latency, memory and energy of a bundle or an ONNX model"),
    "gate": ("gate", "hold a bundle's report to a budget"),
    "compare": ("compare", "put two bundles or two reports side by side"),
    "history": ("history", "draw each metric over releases and name the release where it changed"),
    "devices": ("devices", "list the device profiles and what is ready on this machine"),
}


class CommandParser(argparse.ArgumentParser):
    """The parser of one command. With `intermixed`, options may stand between positionals that may be left out.

    With `actions`, the first of them is meant where the first word is none.
    """

    intermixed = False
    actions: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse as argparse does, which takes the first positional for absent when options follow it, or intermixed."""
        if self.actions and args and args[0] not in (*self.actions, "-h", "--help"):
            args = [self.actions[0], *args]
        if not self.intermixed:
            return super().parse_known_args(args, namespace)
        words = list(args)
        if "--" in words:  # intermixed parsing forgets it: what follows gets a mark, and so is no option
            end = words.index("--")
            words = [*words[:end], *(f"\0{word}" for word in words[end + 1 :])]
        self.intermixed = False  # intermixed parsing calls this method for what it leaves
        try:
            namespace, rest = self.parse_known_intermixed_args(words, namespace)
            return namespace, [word.removeprefix("\0") for word in rest]
        finally:
            self.intermixed = True

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        return super()._get_value(action, arg_string.removeprefix("\0"))


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser; only `command` gets its own arguments."""
    parser = argparse.ArgumentParser(
        prog="pocketrank",
        description="From a sentence-embedding teacher and a corpus to a small, verified, gated ranker.",
        epilog="Exit codes: 0 done or pass, 1 budget broken or verification failed, 2 bad input, "
        "3 device or component not available, 4 inconclusive, 70 an error inside pocketrank, 130 interrupted, "
        "141 the reader of the output went away.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=CommandParser)
    for name, (module, help_line) in COMMANDS.items():
        if name != command:
            commands.add_parser(name, help=help_line, add_help=False)
            continue
        implementation = importlib.import_module(f".{module}", __package__)
        subparser = commands.add_parser(
            name,
            help=help_line,
            description=implementation.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        implementation.configure(subparser)
        subparser.set_defaults(execute=implementation.execute)
    return parser


def _version() -> str:
    from importlib.metadata import version

    return f"pocketrank {version('pocketrank')}"


_INTERRUPTED = "interrupted; run the same command again to go on from the last finished part"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 means a broken budget or a failed verification, nothing else."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except PocketrankError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain(_INTERRUPTED)
        return INTERRUPTED
    except BrokenPipeError:
        close_output()
        return CLOSED_PIPE
    except OSError as error:
        return complain_of_system(error)
    except Exception:  # noqa: BLE001  what nobody foresaw ends in one line too; the traceback is kept
        if was_interrupted():  # a library turned the interrupt into an error of its own
            complain(_INTERRUPTED)
            return INTERRUPTED
        complain(f"an error inside pocketrank: {keep_traceback()}")
        return INTERNAL_ERROR


def _run(words: list[str]) -> int:
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        raise InputError(f"there is no command {command!r}; {did_you_mean(command, COMMANDS)}")
    try:
        parsed = build_parser(command).parse_args(words)
    finally:
        sys.stdout.flush()  # --help ends the process here, and its reader may be gone
    try:
        return parsed.execute(parsed)
    except ModuleNotFoundError as error:
        if brought_by_extra(error.name):
            raise missing_packages(f"pocketrank {command}", error.name) from error
        raise


def entry() -> NoReturn:
    """Be the process `pocketrank`: run one command and end with its exit code."""
    watch_interrupts()
    end(main())


if __name__ == "__main__":
    entry()
