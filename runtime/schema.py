"""Turn the mappings read from TOML and JSON into dataclasses, strictly.

Unknown keys are refused with the nearest valid name, wrong types with the place and the type that is needed, so that
every file format of the project (recipe, budget, device profile, manifest, report) fails in the same way.
"""

import copy
import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeGuard, TypeVar, Unpack

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


_METADATA = "key"
_LARGEST = 2**63 - 1  # what TOML can write

_type_hints = functools.cache(typing.get_type_hints)  # slow, and the same at each call


class Range(TypedDict, total=False):
    """Which values a key takes; of a list or table, each item."""

    minimum: float  # at least
    above: float  # more than
    maximum: float  # at most
    not_empty: bool


@dataclass(frozen=True)
class Key:
    """What a key of a file means and which values it takes."""

    meaning: str
    unit: str = ""
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    not_empty: bool = False


def key(default: T, meaning: str, unit: str = "", **values: Unpack[Range]) -> T:
    """Declare a field of a dataclass that is read from a file: default, meaning, unit and range.

    `minimum` and `maximum` belong to the range, `above` does not. `from_mapping` refuses values outside of it; values
    that Python code passes to the dataclass itself are not checked.
    """
    metadata = describe(meaning, unit, **values)
    if isinstance(default, (dict, list)):
        factory = typing.cast(Callable[[], T], functools.partial(copy.copy, default))
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def describe(meaning: str, unit: str = "", **values: Unpack[Range]) -> Mapping[str, Key]:
    """Return the metadata of a field that `key` cannot declare: a required one, or a table of its own."""
    return {_METADATA: Key(meaning, unit, **values)}


def key_of(field: "dataclasses.Field[Any]") -> Key | None:
    """Return what `key` or `describe` declared for a field; None for a plain one."""
    return field.metadata.get(_METADATA)


def did_you_mean(name: str, valid: typing.Iterable[str], place: str = "") -> str:
    """Return a hint such as "did you mean 'layers'? (valid: …)", or the new name of a renamed key of `place`."""
    names = sorted(valid)
    renamed = RENAMED_KEYS.get(name, "")
    if renamed in names:
        prefix = f"{place}." if place else ""
        return f"{prefix}{name} is now {prefix}{renamed}; rename it"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "no valid name is near it."
    return f"{hint} (valid: {', '.join(names)})"


def from_mapping(kind: type[T], mapping: Any, source: str, place: str = "") -> T:
    """Build the dataclass `kind` from `mapping`.

    `source` names the file and `place` the section, for messages only. Fields without a default are required.
    Raises `InputError` for an unknown key, a missing key, a wrong type, a number that is not finite, or a value outside
    the range that `key` declares. A `__post_init__` of the dataclass may raise `ValueError` to refuse a value; its text
    becomes the message.
    """
    where = f"{source}: [{place}]" if place else source
    if not _is_table(mapping):
        raise InputError(f"{where} must be a table of keys and values; fix the file")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = _type_hints(kind)
    for name in mapping:
        if name not in fields:
            raise InputError(f"{where}: unknown key {name!r}; {did_you_mean(str(name), fields, place)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        inner = f"{place}.{name}" if place else name
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], source, inner)
            _check_range(key_of(field), values[name], source, inner)
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
    if _is_table(value):
        return {str(name): to_mapping(item) for name, item in value.items()}
    if _is_list(value):
        return [to_mapping(item) for item in value]
    return value


def _is_table(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _check_range(declared: Key | None, value: Any, source: str, place: str) -> None:
    if declared is None:
        return
    if declared.not_empty and not isinstance(value, (bool, int, float)) and not value:
        raise InputError(f"{source}: {place} is empty; fix the value")
    for name, number in _numbers(value, place):
        too_low = declared.minimum is not None and number < declared.minimum
        too_low = too_low or (declared.above is not None and number <= declared.above)
        if too_low or (declared.maximum is not None and number > declared.maximum):
            raise InputError(f"{source}: {name} = {_shown(number)} must be {range_words(declared)}; fix the value")


def range_words(key: Key) -> str:
    """Return the range of a key in words, such as "at least 0"; empty where every value will do."""
    low = key.minimum if key.above is None else key.above
    words: list[str] = []
    if low is not None:
        words.append(f"{'at least' if key.above is None else 'above'} {_digits(low)}")
    if key.maximum is not None:
        words.append(f"at most {_digits(key.maximum)}")
    return " and ".join(words)


def _digits(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Yield every number in a value with its place, whatever its depth."""
    waiting = [(value, place)]
    while waiting:
        value, place = waiting.pop()
        if _is_table(value):
            waiting += [(item, f"{place}.{name}") for name, item in value.items()]
        elif _is_list(value):
            waiting += [(item, f"{place}[{index}]") for index, item in enumerate(value)]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield place, value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}…"


def _convert(hint: Any, value: Any, source: str, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        for name, number in _numbers(value, place):
            _check_finite(number, source, name)
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, source, place)
    if origin is typing.Literal:
        if isinstance(value, bool) or not arguments.count(value):
            valid = ", ".join(repr(argument) for argument in arguments)
            raise InputError(f"{source}: {place} = {_shown(value)} is not one of {valid}; choose one of them")
        return value
    if origin in (list, tuple):
        items = _convert_items(arguments, value, source, place)
        return tuple(items) if origin is tuple else items
    if origin is dict:
        return _convert_table(arguments, value, source, place)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type[Any], hint), value, source, place)
    return _convert_scalar(hint, value, source, place)


def _convert_items(arguments: tuple[Any, ...], value: Any, source: str, place: str) -> list[Any]:
    if not _is_list(value):
        raise InputError(f"{source}: {place} must be a list; write [ … ]")
    hint = arguments[0] if arguments else Any
    return [_convert(hint, item, source, f"{place}[{index}]") for index, item in enumerate(value)]


def _convert_table(arguments: tuple[Any, ...], value: Any, source: str, place: str) -> dict[str, Any]:
    if not _is_table(value):
        raise InputError(f"{source}: {place} must be a table of keys and values; fix the file")
    return {str(name): _convert(arguments[1], item, source, f"{place}.{name}") for name, item in value.items()}


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
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and hint in (int, float):
        _check_finite(value, source, place)
        if hint is float:
            return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        needed = _TYPE_NAMES.get(hint, hint.__name__)
        raise InputError(f"{source}: {place} = {_shown(value)} must be {needed}; fix the value")
    return value


def _check_finite(number: float, source: str, place: str) -> None:
    fits = abs(number) <= _LARGEST if isinstance(number, int) else math.isfinite(number)
    if not fits:
        raise InputError(f"{source}: {place} = {_shown(number)} must be a finite number of usual size; fix the value")
