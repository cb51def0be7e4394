"""Read a recipe: fill in defaults, apply overrides, validate, resolve paths, and save what was resolved."""

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.documents.document import valid_name
from ..runtime.errors import InputError
from ..runtime.files import read_toml
from ..runtime.schema import did_you_mean, from_mapping, to_mapping
from ..runtime.units import parse_quantity
from .settings import Recipe, TeacherSettings, VectorsSettings

# Keys whose values are paths, relative to the folder of the recipe that names them.
_PATHS = (
    ("corpus", "path"),
    ("queries", "files"),
    ("gate", "budget"),
    ("gate", "baseline"),
    ("teacher", "model"),
    ("teacher", "space"),
    ("cross_encoder", "model"),
    ("student", "general"),
)


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe that is ready to run."""

    recipe: Recipe  # paths resolved
    resolved_toml: Mapping[str, Any]  # every default filled in, paths as written


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> ResolvedRecipe:
    """Read the recipe at `path` and apply overrides of the form `section.key=value`.

    Relative paths in the file count from the file's folder, relative paths in overrides from the working folder.
    Raises `InputError` that names the file and the key at fault.
    """
    mapping = read_toml(path)
    mapping.setdefault("name", path.stem)
    overridden = {_apply_override(mapping, override) for override in overrides}
    recipe = from_mapping(Recipe, mapping, str(path))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe.name):
        raise InputError(f"{path}: name = {recipe.name!r} is used as a folder name; use letters, digits, '.', '_', '-'")
    if recipe.quantize.target_bytes:
        parse_quantity(recipe.quantize.target_bytes, "B", f"{path}: quantize.target_bytes")
    resolved = recipe
    for section, key in _PATHS:
        base = Path.cwd() if (section, key) in overridden else path.parent
        resolved = _resolve_path(resolved, section, key, base)
    teacher = _resolve_teacher(resolved.teacher, {key for section, key in overridden if section == "teacher"}, path)
    return ResolvedRecipe(dataclasses.replace(resolved, teacher=teacher), to_mapping(recipe))


def recipe_toml(written: Mapping[str, Any]) -> bytes:
    """Return the resolved recipe as TOML."""
    import tomli_w

    return tomli_w.dumps(dict(written)).encode("utf-8")


def _apply_override(mapping: dict[str, Any], override: str) -> tuple[str, str]:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals:
        raise InputError(f"--set {override}: '=' is missing; write --set section.key=value")
    if valid_name(override) != override:
        raise InputError(f"--set {override}: a recipe holds UTF-8 only; name the path from inside its folder")
    value = _parse_value(text.strip())
    if isinstance(value, datetime.date | datetime.time):  # no key takes one
        raise InputError(
            f"--set {override}: that is a date in TOML; quote it: --set '{name.strip()}=\"{text.strip()}\"'"
        )
    if not dot:
        mapping[section] = value
        return "", section
    sections = {field.name for field in dataclasses.fields(Recipe)}
    if section not in sections:
        raise InputError(f"--set {override}: unknown section {section!r}; {did_you_mean(section, sections)}")
    target = mapping.setdefault(section, {})
    if not isinstance(target, dict):
        raise InputError(f"--set {override}: {section!r} is no section; write --set {section}=value")
    *tables, last = key.split(".")
    for table in tables:
        target = target.setdefault(table, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {override}: {table!r} is no table; write --set {section}.{table}=value")
    target[last] = value
    return section, key


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word is a string, so that no shell quoting is needed


def _resolve_path(recipe: Recipe, section: str, key: str, base: Path) -> Recipe:
    settings = getattr(recipe, section)
    value: str | tuple[str, ...] = getattr(settings, key)
    if isinstance(value, tuple):
        paths = tuple(_absolute(base, name) for name in value)
        return dataclasses.replace(recipe, **{section: dataclasses.replace(settings, **{key: paths})})
    # A corpus path is a data set id for `hub`; a teacher is a folder only when it looks like one.
    is_path = bool(value)
    if section == "corpus":
        is_path = is_path and settings.source in ("beir", "texts")
    if key == "model":
        is_path = _is_folder_name(value)
    if not is_path:
        return recipe
    return dataclasses.replace(recipe, **{section: dataclasses.replace(settings, **{key: _absolute(base, value)})})


def _resolve_teacher(teacher: TeacherSettings, overridden: set[str], path: Path) -> TeacherSettings:
    """Return the teacher with the paths of its tables resolved."""

    def vectors(settings: VectorsSettings, whole: str) -> VectorsSettings:
        files = {key: name for key, name in vars(settings).items() if name}
        bases = {key: Path.cwd() if {whole, f"{whole}.{key}"} & overridden else path.parent for key in files}
        return dataclasses.replace(settings, **{key: _absolute(bases[key], name) for key, name in files.items()})

    base = Path.cwd() if "ensemble" in overridden else path.parent
    members = tuple(
        dataclasses.replace(
            member,
            model=_absolute(base, member.model) if _is_folder_name(member.model) else member.model,
            vectors=vectors(member.vectors, "ensemble"),
        )
        for member in teacher.ensemble
    )
    return dataclasses.replace(teacher, vectors=vectors(teacher.vectors, "vectors"), ensemble=members)


def _is_folder_name(model: str) -> bool:
    return model.startswith((".", "/", "~"))


def _absolute(base: Path, path: str) -> str:
    try:
        return str((base / Path(path).expanduser()).resolve())
    except RuntimeError:
        raise InputError(f"{path}: there is no such user, or no home folder; write the whole path") from None
