"""The page of the command line, from the parsers of `cli/`; neither the terminal nor argparse's layout shows in it."""

import argparse
import importlib
from collections.abc import Iterable, Iterator, Sequence

from pocketrank.cli import main as entry

from .markdown import docstring, page, table


def command_line_page() -> str:
    """Return the page."""
    parser = entry.build_parser(None)
    overview = table(("command", ""), ((f"[`{name}`](#{name})", words) for name, (_, words) in entry.COMMANDS.items()))
    parts = [parser.description or "", parser.epilog or "", overview]
    for name, (module, _) in entry.COMMANDS.items():
        implementation = importlib.import_module(f"pocketrank.cli.{module}")
        command = argparse.ArgumentParser(f"pocketrank {name}", description=implementation.__doc__)
        implementation.configure(command)
        parts += [f"## {name}", *_command(command)]
    return page("Command line", *parts)


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield docstring(parser.description)
    rows: list[tuple[str, str, str]] = []  # of the groups without a title of their own
    named: list[str] = []
    subparsers: list[argparse.ArgumentParser] = []
    for group in parser._action_groups:  # argparse has no public list
        shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        for action in shown:
            if isinstance(action, argparse._SubParsersAction):
                subparsers += action.choices.values()
        hidden = (argparse._HelpAction, argparse._SubParsersAction)
        found = [_row(parser, action) for action in shown if not isinstance(action, hidden)]
        if group.title in ("positional arguments", "options"):
            rows += found
        elif found:
            named += [f"**{group.title}**", docstring(group.description), _table(found)]
    yield _table(rows) if rows else ""
    yield from named
    for inner in subparsers:
        yield f"### {inner.prog}"
        yield from _command(inner)


def _table(rows: Iterable[Sequence[str]]) -> str:
    return table(("argument", "default", "meaning"), rows)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str, str]:
    name = action.metavar or (action.choices and "{" + ",".join(map(str, action.choices)) + "}") or action.dest
    name = " ".join(name) if isinstance(name, tuple) else str(name)
    if not action.option_strings:
        words = f"`{name}`"
    elif action.nargs == 0:
        words = ", ".join(f"`{option}`" for option in action.option_strings)
    else:
        value = name if action.metavar or action.choices else name.upper()
        words = ", ".join(f"`{option} {value}`" for option in action.option_strings)
    words += {"?": ", optional", "*": ", any number", "+": ", one or more"}.get(str(action.nargs), "")
    words += ", required" if action.option_strings and action.required else ""
    meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
    return words, _default(action), meaning


def _default(action: argparse.Action) -> str:
    if action.default in (None, argparse.SUPPRESS, False, "") or action.default == []:
        return ""
    values = action.default if isinstance(action.default, (list, tuple)) else [action.default]
    return "yes" if action.default is True else f"`{' '.join(map(str, values))}`"
