"""Registries of named components."""

from collections.abc import Callable

import pytest

from longtail.errors import UserError
from longtail.registry import Registry, nearest


@pytest.fixture
def colors() -> Registry[str]:
    registry: Registry[str] = Registry("color")
    registry.register("Red", "Crimson")("#f00")
    registry.register("Blue")("#00f")
    return registry


def test_registry_get_by_each_name(colors: Registry[str]) -> None:
    assert colors.get("Red") == colors.get("Crimson") == "#f00"
    assert "Red" in colors and "red" not in colors


def test_registry_iterates_over_sorted_names(colors: Registry[str]) -> None:
    assert list(colors) == ["Blue", "Crimson", "Red"]


def test_registry_register_returns_what_it_registers() -> None:
    registry: Registry[Callable[[], str]] = Registry("function")

    @registry.register("green")
    def green() -> str:
        return "#0f0"

    assert registry.get("green") is green
    assert green() == "#0f0"


def test_registry_unknown_name_lists_what_there_is_and_the_nearest(colors: Registry[str]) -> None:
    with pytest.raises(UserError) as error:
        colors.get("blu")
    assert str(error.value) == "unknown color 'blu'; available: Blue, Crimson, Red; did you mean Blue?"


def test_registry_unknown_name_may_be_near_an_alias(colors: Registry[str]) -> None:
    with pytest.raises(UserError, match=r"available: Blue, Crimson, Red; did you mean scarlet\?$"):
        colors.get("skarlet", ["scarlet"])


def test_registry_refuses_a_name_twice(colors: Registry[str]) -> None:
    with pytest.raises(ValueError, match="color 'Blue' is registered twice"):
        colors.register("Blue")("#008")
    assert colors.get("Blue") == "#00f"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("crossentropy", "; did you mean CrossEntropy?"), ("CrosEntropy", "; did you mean CrossEntropy?"), ("zebra", "")],
)
def test_nearest_ignores_case_and_what_is_far(name: str, expected: str) -> None:
    assert nearest(name, ["CrossEntropy", "FocalLoss"]) == expected
