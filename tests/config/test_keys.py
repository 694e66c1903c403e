"""The declarations of the keys: complete, and consistent with the checks that follow from them."""

import math
from typing import Any

import pytest

from longtail.config import KEYS, load_config, value_of
from longtail.config.key import LARGEST, Key
from longtail.config.keys import SECTIONS
from longtail.errors import UserError

NUMBERS = [name for name, key in KEYS.items() if type(key.default) in (int, float)]
FLOATS = [name for name in NUMBERS if type(KEYS[name].default) is float]
LISTS = [name for name, key in KEYS.items() if isinstance(key.default, (list, tuple))]
NUMBER_LISTS = [name for name in LISTS if KEYS[name].items in ("int", "float")]
CHOICES = [name for name, key in KEYS.items() if key.allowed]
# Replaced when a config is loaded, see test_names.py.
REPLACED = ("DATASET.VIEWS", "DATASET.NORMALIZATION", "DATASET.TEST_VIEW", "TRAIN.COMBINER.TYPE")
COUPLED = (
    *("TEST.MANY_SHOT", "TEST.FEW_SHOT"),  # they must not overlap
    "TRAIN.TWO_STAGE.START_EPOCH",  # 0 is replaced by a part of MAX_EPOCH, see test_loading.py
)
FILE_KINDS = ("", "weights", "images", "annotations", "folder")


def refusal(*overrides: Any) -> str:
    with pytest.raises(UserError) as error:
        load_config(None, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", KEYS)
def test_key_declaration_is_complete(name: str) -> None:
    key = KEYS[name]
    assert len(key.help.split()) > 1
    assert key.help.endswith((".", ".)"))
    assert type(key.default) in (bool, int, float, str, list, tuple)
    assert not key.allowed or key.default in key.allowed
    assert (key.items in ("name", "int", "float")) == isinstance(key.default, (list, tuple))
    assert key.file in FILE_KINDS
    assert not key.file or isinstance(key.default, str)
    assert key.when is None or (key.file and key.when[0] in KEYS)
    assert not key.length or len(key.default) == key.length
    if name in NUMBERS or name in NUMBER_LISTS:
        assert key.low is not None or key.positive  # nothing is without bounds


@pytest.mark.parametrize("name", [name for name in KEYS if name not in REPLACED])
def test_default_of_a_key_passes_its_own_check(name: str) -> None:
    default = KEYS[name].default
    value = value_of(load_config(None, [name, default]), name)
    assert value == default and type(value) is type(default)


def test_keys_are_declared_once() -> None:
    assert sum(len(section) for section in SECTIONS.values()) == len(KEYS)


@pytest.mark.parametrize("name", CHOICES)
def test_allowed_texts_are_accepted_and_others_list_the_nearest(name: str) -> None:
    allowed = KEYS[name].allowed
    for choice in filter(None, allowed):
        assert value_of(load_config(None, [name, choice]), name) == choice
    longest = max(allowed, key=len)
    message = refusal(name, longest + "x")
    assert message.startswith(f"{name} is {longest + 'x'!r}; allowed: ")
    assert all(repr(choice) in message for choice in allowed)
    assert message.endswith(f"; did you mean {longest}?")


def outside(key: Key) -> list[float]:
    """Return numbers just outside of the bounds of a key."""
    step = 1 if type(key.default) is int else max(1e-6, 1e-6 * abs(key.high or LARGEST))
    numbers: list[float] = [(LARGEST if key.high is None else key.high) + step]
    if key.positive:
        numbers += [0, -step]
    if key.low is not None:
        numbers.append(key.low - step)
    return [number for number in numbers if number != key.never]


@pytest.mark.parametrize("name", NUMBERS)
def test_number_refuses_what_is_outside_of_its_bounds(name: str) -> None:
    key = KEYS[name]
    for number in outside(key):
        value = type(key.default)(number)
        assert refusal(name, value).startswith(f"{name} is {value!r}; it must be "), number


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in COUPLED])
def test_number_accepts_the_ends_of_its_bounds(name: str) -> None:
    key = KEYS[name]
    ends = [number for number in (key.low, key.high, key.never) if number is not None]
    assert ends or key.positive
    for number in ends:
        assert value_of(load_config(None, [name, type(key.default)(number)]), name) == number


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_number_refuses_what_is_not_finite(name: str, number: float) -> None:
    assert refusal(name, number).startswith(f"{name} is {number!r}; it must be ")


@pytest.mark.parametrize("name", NUMBERS)
def test_number_refuses_huge_integers(name: str) -> None:
    message = refusal(name, 10**400)
    assert message.startswith((f"{name} is inf; it must be ", f"{name} is 1{39 * '0'}...; it must be "))


@pytest.mark.parametrize("name", NUMBER_LISTS)
def test_list_of_numbers_checks_each_item(name: str) -> None:
    key = KEYS[name]
    kind = int if key.items == "int" else float
    length = key.length or 1
    for number in (min(key.low or 0, 0) - 1, 10**12):
        assert refusal(name, [kind(number)] * length).startswith(f"{name} is "), number
    assert f"it must be a list of {'whole numbers' if kind is int else 'numbers'}" in refusal(name, ["a"] * length)
    if key.length:
        assert f"it must have {key.length} values" in refusal(name, [*key.default, key.default[-1]])


@pytest.mark.parametrize("name", [name for name in LISTS if KEYS[name].items == "name"])
@pytest.mark.parametrize("items", [[1], [["crop"]], [True]])
def test_list_of_names_refuses_other_items(name: str, items: list[Any]) -> None:
    assert f"{name} is {KEYS[name].default.__class__(items)!r}; it must be a list of names" in refusal(name, items)
