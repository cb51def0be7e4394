"""Every key of a recipe says what it means and refuses nonsense in one line."""

import dataclasses
import itertools
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pocketrank.pipeline.losses import WeightedLosses
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.settings import EnsembleMember, Recipe
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.schema import Key, key_of

# As TOML: wrong signs and sizes, what is no number, and every other type.
NONSENSE = (
    *("-1", "0", "-0.5", "0.0", "nan", "inf", "-inf", "1e400", "9223372036854775807", "9" * 400, "9" * 5000, "1e308"),
    *('""', '"nonsense"', "true", "1979-05-27", "[]", "[-1]", "[nan]", "[0]", "[[]]", '[""]', "{}", "{ x = -1 }"),
    *("{ x = nan }", "{ cosine = 1e400 }", "[" * 3000 + "]" * 3000),
)


def keys(kind: type, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Key | None, Any]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from keys(typing.cast(type, hint), (*place, field.name))
        else:
            yield (*place, field.name), key_of(field), hint


KEYS = list(keys(Recipe))
MEMBER_KEYS = list(keys(EnsembleMember))


def is_number(hint: Any) -> bool:
    parts = (hint, *typing.get_args(hint))
    return int in parts or float in parts


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return list(itertools.chain.from_iterable(map(numbers, value.values())))
    if isinstance(value, (list, tuple)):
        return list(itertools.chain.from_iterable(map(numbers, value)))
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@pytest.mark.parametrize(("place", "declared", "hint"), KEYS + MEMBER_KEYS)
def test_a_key_has_a_meaning_and_a_number_a_range(place: tuple[str, ...], declared: Key | None, hint: Any) -> None:
    assert declared is not None and declared.meaning.endswith("."), place
    if is_number(hint):
        assert declared.maximum is not None and (declared.minimum is None) != (declared.above is None), place


def toml(place: tuple[str, ...], value: str, is_member: bool) -> str:
    if is_member:
        model = "" if place == ("model",) else 'model = "x"\n'
        return f"[[teacher.ensemble]]\n{model}{'.'.join(place)} = {value}\n"
    header = f"[{'.'.join(place[:-1])}]\n" if len(place) > 1 else ""
    return f"{header}{place[-1]} = {value}\n"


@pytest.mark.parametrize(
    ("place", "declared", "is_member"),
    [
        *((place, declared, False) for place, declared, _ in KEYS),
        *((place, declared, True) for place, declared, _ in MEMBER_KEYS),
    ],
)
def test_nonsense_is_refused_in_one_line(
    tmp_path: Path, place: tuple[str, ...], declared: Key, is_member: bool
) -> None:
    path = tmp_path / "mine.toml"
    for value in NONSENSE:
        path.write_text(toml(place, value, is_member), encoding="utf-8")
        try:
            made: Any = read_recipe(path).recipe
        except InputError as error:
            message = str(error)
            assert "\n" not in message and len(message) < 3000 and "mine.toml" in message, (place, value)
            assert "TOML" in message or place[-1] in message, (value, message)
            continue
        made = made.teacher.ensemble[0] if is_member else made
        for name in place:
            made = getattr(made, name)
        for number in numbers(made):
            assert math.isfinite(number), (place, value)
            assert declared.minimum is None or number >= declared.minimum, (place, value)
            assert declared.above is None or number > declared.above, (place, value)
            assert declared.maximum is not None and number <= declared.maximum, (place, value)
        assert not (declared.not_empty and made in ((), {}, "")), (place, value)


def test_a_value_out_of_range_names_file_key_and_range(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[distill]\nsteps = -3\n[distill.losses]\ncosine = 1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    expected = "distill.steps = -3 must be at least 1 and at most 1,000,000,000; fix the value"
    assert str(caught.value) == f"{path}: {expected}"
    path.write_text("[distill.losses]\ncosine = -1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"distill\.losses\.cosine = -1\.0 must be at least 0"):
        read_recipe(path)
    path.write_text('[quantize]\ntarget_bytes = "small"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml: quantize\.target_bytes = 'small' must be a number and one of"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("queries.frames", "templates"),
        ("queries.forms", "kinds"),
        ("teacher.further", "ensemble"),
        ("evaluate.rivals", "baselines"),
    ],
)
def test_a_renamed_key_is_refused_with_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    section, _, name = old.partition(".")
    path = tmp_path / "mine.toml"
    path.write_text(f"[{section}]\n{name} = []\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"unknown key '{name}'; {section}\.{name} is now {section}\.{new}; rename"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scores", "batch_kl"),
        ("own_scores", "batch_kl_symmetric"),
        ("corpus_scores", "corpus_kl"),
        ("corpus_answers", "corpus_cross_entropy"),
        ("list_scores", "list_kl"),
        ("list_scores_inherited", "list_kl_asymmetric"),
        ("list_margins", "margin_mse"),
        ("geometry", "similarity_matrix"),
        ("contrastive", "multiple_negatives"),
        ("contrastive_inherited", "multiple_negatives_asymmetric"),
    ],
)
def test_a_renamed_loss_is_refused_with_its_new_name(old: str, new: str) -> None:
    with pytest.raises(InputError, match=f"there is no loss '{old}'.*{old} is now {new}; rename it"):
        WeightedLosses({old: 1.0})
