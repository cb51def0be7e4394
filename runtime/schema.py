"""Turn the mappings read from TOML and JSON into dataclasses, strictly.

Unknown keys are refused with the nearest valid name, wrong types with the place and the type that is needed, so that
every file format of the project (recipe, budget, device profile, manifest, report) fails in the same way.
"""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InputError

T = TypeVar("T")

# Keys of 0.1 and what they are called now, for the message alone: an old key is refused like any unknown one.
RENAMED_KEYS = {
    "words_weight": "bm25_weight",
    "frames": "templates",
    "forms": "kinds",
    "further": "ensemble",
    "rivals": "baselines",
    "standing_in": "emulation",
    "own_scores": "batch_kl_symmetric",
    "corpus_scores": "corpus_kl",
    "corpus_answers": "corpus_cross_entropy",
    "list_scores": "list_kl",
    "list_scores_inherited": "list_kl_asymmetric",
    "list_margins": "margin_mse",
    "geometry": "similarity_matrix",
    "scores": "batch_kl",
    "contrastive": "multiple_negatives",
    "contrastive_inherited": "multiple_negatives_asymmetric",
}

_TYPE_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


_type_hints = functools.cache(typing.get_type_hints)  # slow, and the same at each call


def did_you_mean(name: str, valid: typing.Iterable[str]) -> str:
    """Return a hint such as "did you mean 'layers'? (valid: …)", or the new name of a renamed key."""
    names = sorted(valid)
    renamed = RENAMED_KEYS.get(name, "")
    if renamed in names:
        return f"{name} is now {renamed}; rename it"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "no valid name is near it."
    return f"{hint} (valid: {', '.join(names)})"


def from_mapping(kind: type[T], mapping: Any, source: str, place: str = "") -> T:
    """Build the dataclass `kind` from `mapping`.

    `source` names the file and `place` the section, for messages only. Fields without a default are required.
    Raises `InputError` for an unknown key, a missing key or a wrong type. A `__post_init__` of the dataclass may
    raise `ValueError` to refuse a value; its text becomes the message.
    """
    where = f"{source}: [{place}]" if place else source
    if not isinstance(mapping, Mapping):
        raise InputError(f"{where} must be a table of keys and values; fix the file")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = _type_hints(kind)
    for key in mapping:
        if key not in fields:
            raise InputError(f"{where}: unknown key {key!r}; {did_you_mean(str(key), fields)}")
    values = {}
    for name, field in fields.items():
        inner = f"{place}.{name}" if place else name
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], source, inner)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: the key {name!r} is missing; add it")
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def to_mapping(value: Any) -> Any:
    """Return plain dicts, lists and scalars; fields that are `None` are left out (TOML has no null)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: to_mapping(item) for name, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(item) for item in value]
    return value


def _convert(hint: Any, value: Any, source: str, place: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, source, place)
    if origin is typing.Literal:
        if value not in arguments or isinstance(value, bool):
            valid = ", ".join(repr(argument) for argument in arguments)
            raise InputError(f"{source}: {place} = {value!r} is not one of {valid}; choose one of them")
        return value
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{source}: {place} must be a list; write [ … ]")
        item_hint = arguments[0] if arguments else Any
        items = [_convert(item_hint, item, source, f"{place}[{index}]") for index, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{source}: {place} must be a table of keys and values; fix the file")
        return {str(key): _convert(arguments[1], item, source, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, source, place)
    return _convert_scalar(hint, value, source, place)


def _convert_union(arguments: tuple[Any, ...], value: Any, source: str, place: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [argument for argument in arguments if argument is not type(None)]
    for option in options[:-1]:
        try:
            return _convert(option, value, source, place)
        except InputError:
            continue
    return _convert(options[-1], value, source, place)


def _convert_scalar(hint: Any, value: Any, source: str, place: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        needed = _TYPE_NAMES.get(hint, hint.__name__)
        raise InputError(f"{source}: {place} = {value!r} must be {needed}; fix the value")
    return value
