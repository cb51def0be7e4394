import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.schema import describe, did_you_mean, from_mapping, key, key_of, to_mapping


@dataclass(frozen=True)
class Inner:
    layers: int = 2
    kind: Literal["small", "large"] = "small"


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    inner: Inner = field(default_factory=Inner)
    losses: dict[str, float] = field(default_factory=dict)
    sizes: tuple[int, ...] = (1, 2)
    limit: int | str | None = None
    steps: int = key(5, "Steps.", "steps", minimum=1, maximum=1000)
    shares: dict[str, float] = key({"a": 0.5}, "Shares.", above=0.0, maximum=1.0, not_empty=True)  # noqa: RUF009
    facts: dict[str, Any] = field(default_factory=dict, metadata=describe("Anything."))

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("rate is negative; make it positive")


def test_defaults_conversion_and_round_trip():
    made = from_mapping(Outer, {"name": "x", "rate": 1, "sizes": [3], "inner": {"layers": 4}}, "r.toml")
    assert made == Outer("x", 1.0, Inner(4), {}, (3,)) and isinstance(made.rate, float)
    assert from_mapping(Outer, to_mapping(made), "r.toml") == made
    assert "limit" not in to_mapping(made)
    assert from_mapping(Outer, {"name": "x", "limit": "4 MB"}, "r.toml").limit == "4 MB"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "x", "ratte": 1}, r"r.toml: unknown key 'ratte'; did you mean 'rate'\?"),
        ({"name": "x", "inner": {"layer": 1}}, r"\[inner\]: unknown key 'layer'; did you mean 'layers'"),
        ({}, "the key 'name' is missing"),
        ({"name": 3}, "name = 3 must be a string"),
        ({"name": "x", "inner": {"layers": 2.5}}, "inner.layers = 2.5 must be a whole number"),
        ({"name": "x", "inner": {"layers": True}}, "must be a whole number"),
        ({"name": "x", "inner": {"kind": "tiny"}}, "not one of 'small', 'large'"),
        ({"name": "x", "inner": 3}, "must be a table"),
        ({"name": "x", "sizes": 3}, "must be a list"),
        ({"name": "x", "sizes": [1, "2"]}, r"sizes\[1\] = '2' must be a whole number"),
        ({"name": "x", "losses": {"cosine": "much"}}, "losses.cosine = 'much' must be a number"),
        ({"name": "x", "rate": -1}, "rate is negative"),
        ({"name": "x", "limit": []}, "limit"),
        ("text", "must be a table"),
        ({"name": "x", "rate": float("nan")}, "rate = nan must be a finite number"),
        ({"name": "x", "rate": 10**400}, "rate = 1000.* must be a finite number"),
        ({"name": "x", "limit": 1 << 20000}, "limit = a number of thousands of digits must be"),
        ({"name": "x", "facts": {"deep": [1, {"er": float("inf")}]}}, r"facts.deep\[1\].er = inf must be a finite"),
        ({"name": "x", "steps": 0}, "steps = 0 must be at least 1 and at most 1,000; fix the value"),
        ({"name": "x", "steps": 1001}, "steps = 1001 must be at least 1 and at most 1,000"),
        ({"name": "x", "shares": {"a": 0}}, "shares.a = 0.0 must be above 0 and at most 1"),
        ({"name": "x", "shares": {}}, "shares is empty; fix the value"),
    ],
)
def test_what_does_not_fit_is_named(mapping, message):
    with pytest.raises(InputError, match=message):
        from_mapping(Outer, mapping, "r.toml")


def test_nearest_says_when_nothing_is_near():
    assert did_you_mean("zzz", ["layers"]) == "no valid name is near it. (valid: layers)"


def test_a_declared_key_keeps_its_default_for_itself_and_says_what_it_means():
    first, second = Outer("x"), Outer("y")
    first.shares["b"] = 1.0
    assert second.shares == {"a": 0.5} and second.steps == 5
    declared = {field.name: key_of(field) for field in dataclasses.fields(Outer)}
    assert declared["steps"].meaning == "Steps." and declared["steps"].unit == "steps"
    assert declared["facts"].meaning == "Anything." and declared["name"] is None
