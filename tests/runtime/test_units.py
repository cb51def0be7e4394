import pytest
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.units import parse_quantity


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (float("nan"), "B"),
        (float("inf"), "1"),
        (10**400, "B"),
        ("1e999 MB", "B"),
        (True, "1"),
        ([1], "B"),
        ({"limit": 1}, "s"),
        ("nan s", "s"),
        (3, "s"),
    ],
)
def test_what_is_no_quantity_is_refused_in_one_line(value, unit):
    with pytest.raises(InputError, match=r"b\.toml, line 2: x = ") as caught:
        parse_quantity(value, unit, "b.toml, line 2: x")
    assert "\n" not in str(caught.value)
