"""What dataclasses say of their fields: types, defaults, ranges and meanings.

Meanings come from `key` and `describe` of `runtime/schema.py`, and of plain fields from the comments beside or above
them in the source.
"""

import ast
import dataclasses
import functools
import inspect
import io
import json
import tokenize
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketrank.runtime.schema import Key, key_of, range_words

_PLAIN = {
    str: ("string", "strings"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("true or false", "true or false"),
    Any: ("any value", "any values"),
}


@dataclass(frozen=True)
class Declaration:
    """One field as the reference shows it."""

    name: str
    hint: Any
    type: str
    default: str  # as TOML or JSON writes it, or "required"; empty: none, or that of a table of its own
    range: str
    meaning: str


def declarations(kind: type) -> list[Declaration]:
    """Return the fields of a dataclass in their order."""
    hints, comments = typing.get_type_hints(kind), _comments(kind)
    return [
        Declaration(
            field.name,
            hints[field.name],
            type_words(hints[field.name]),
            _default(field),
            _range(key_of(field)),
            _meaning(field, comments),
        )
        for field in dataclasses.fields(kind)
    ]


def nested(kind: type, seen: set[type] | None = None) -> Iterator[type]:
    """Yield a dataclass and those that its fields hold, each once, outside first."""
    seen = set() if seen is None else seen
    if kind in seen:
        return
    seen.add(kind)
    yield kind
    for hint in typing.get_type_hints(kind).values():
        for inner in held(hint):
            yield from nested(inner, seen)


def held(hint: Any) -> list[type]:
    """Return the dataclasses that a type is, or holds."""
    if dataclasses.is_dataclass(hint):
        return [typing.cast(type, hint)]
    return [inner for argument in typing.get_args(hint) for inner in held(argument)]


def type_words(hint: Any, several: bool = False) -> str:
    """Return a type in words, or of several such values; a dataclass is a link to its section."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        words = [type_words(argument, several) for argument in arguments if argument is not type(None)]
        return " or ".join(words) + (", or absent" if type(None) in arguments else "")
    if origin in (tuple, list):
        return f"{'lists' if several else 'list'} of {type_words(arguments[0], True)}"
    if origin in (dict, Mapping):
        return f"{'tables' if several else 'table'} of {type_words(arguments[1], True)}"
    if dataclasses.is_dataclass(hint):
        name = typing.cast(type, hint).__name__
        return f"[{name}](#{name.lower()})"
    return _PLAIN.get(hint, (str(hint), str(hint)))[several]


def comment_above(module: ModuleType, name: str) -> str:
    """Return the full-line comments above the assignment of `name` in a module, as they are written."""
    tree, comments = _source(module)
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return "\n".join(_above(comments, node.lineno))
    return ""


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if value is None or dataclasses.is_dataclass(value):
        return ""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items())
        return f"`{{ {pairs} }}`" if pairs else "`{}`"
    return f"`{json.dumps(value)}`"


def _range(key: Key | None) -> str:
    if key is None:
        return ""
    to = " to " if key.above is None else ", to "
    words = range_words(key).replace("at least ", "").replace(" and at most ", to)
    return ", ".join(filter(None, (f"{words} {key.unit}".strip(), "not empty" if key.not_empty else "")))


def _meaning(field: "dataclasses.Field[Any]", comments: Mapping[str, str]) -> str:
    key = key_of(field)
    return key.meaning if key else comments.get(field.name, "")


def _comments(kind: type) -> dict[str, str]:
    module = inspect.getmodule(kind)
    if module is None:
        return {}
    tree, comments = _source(module)
    body = next(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            words = [*_above(comments, node.lineno), comments.get(node.end_lineno or node.lineno, ("", False))[0]]
            found[node.target.id] = " ".join(filter(None, (word.strip() for word in words)))
    return found


def _above(comments: Mapping[int, tuple[str, bool]], line: int) -> list[str]:
    found: list[str] = []
    while comments.get(line - 1, ("", False))[1]:
        line -= 1
        found.insert(0, comments[line][0])
    return found


@functools.cache
def _source(module: ModuleType) -> tuple[ast.Module, dict[int, tuple[str, bool]]]:
    """Return the parsed source, and its comments by line: text, and whether the line holds nothing else."""
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return ast.parse(text), {
        token.start[0]: (token.string.removeprefix("#").removeprefix(" "), token.line.lstrip().startswith("#"))
        for token in tokens
        if token.type == tokenize.COMMENT
    }
