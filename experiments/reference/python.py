"""The page of the Python door: what the packages export, with signatures as the source has them."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from .markdown import code, docstring, page

PACKAGES = ("runtime", "pipeline", "benchmarks", "export", "devices")


def python_page() -> str:
    """Return the page."""
    parts = [
        "What is listed here is what other code may build on. Everything raises the errors of "
        "`pocketrank.runtime.errors` (`PocketrankError` and below), as the command line does."
    ]
    for package in PACKAGES:
        module = importlib.import_module(f"pocketrank.{package}")
        names = getattr(module, "__all__", ())
        if names:
            parts += [f"## pocketrank.{package}", docstring(module.__doc__)]
        for name in names:
            parts += describe_member(name, getattr(module, name))
    return page("Python", *parts)


def describe_member(name: str, value: Any) -> Iterator[str]:
    """Yield the parts of a function, of a class with its public methods, or of a constant."""
    yield f"### {name}"
    if inspect.isclass(value):
        yield code(f"class {name}{_constructor(value)}", "python")
        yield docstring(inspect.getdoc(value))
        for method, found in _methods(value).items():
            yield f"#### {name}.{method}"
            yield code(_signature(found), "python")
            yield docstring(found.__doc__)
    elif callable(value):
        yield code(_signature(value), "python")
        yield docstring(inspect.getdoc(value))
    else:
        yield code(f"{name} = {value!r}", "python")


def _constructor(kind: type) -> str:
    if "__init__" not in vars(kind) or vars(kind)["__init__"].__doc__ is None:
        return ""
    arguments = _definition(vars(kind)["__init__"]).args
    arguments.args = arguments.args[1:]
    return f"({ast.unparse(arguments)})"


def _methods(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed([base for base in kind.__mro__ if base.__module__.startswith("pocketrank.")]):
        for name, member in vars(base).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(function):
                found[name] = function
    return found


def _signature(function: Any) -> str:
    node = _definition(function)
    lines = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return "\n".join([*lines, f"def {node.name}({ast.unparse(node.args)}){returns}"])


def _definition(function: Any) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node
