import pytest

from longtail.errors import UserError
from longtail.registry import Registry, nearest


@pytest.fixture
def colors():
    registry = Registry("color")
    registry.register("Red", "Crimson")("#f00")
    registry.register("Blue")("#00f")
    return registry


def test_a_part_is_found_under_each_of_its_names(colors):
    assert colors.get("Red") == colors.get("Crimson") == "#f00"
    assert "Red" in colors and "red" not in colors
    assert list(colors) == ["Blue", "Crimson", "Red"]


def test_registering_returns_the_part(colors):
    @colors.register("Green")
    def green():
        return "#0f0"

    assert green() == colors.get("Green")() == "#0f0"


def test_a_miss_lists_what_there_is_and_the_nearest_match(colors):
    with pytest.raises(UserError) as error:
        colors.get("blu")
    assert str(error.value) == "unknown color 'blu'; there is: Blue, Crimson, Red; did you mean Blue?"


def test_a_name_is_taken_once(colors):
    with pytest.raises(ValueError, match="color 'Blue' is registered twice"):
        colors.register("Blue")("#008")
    assert colors.get("Blue") == "#00f"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("crossentropy", "; did you mean CrossEntropy?"), ("CrosEntropy", "; did you mean CrossEntropy?"), ("zebra", "")],
)
def test_nearest_ignores_case_and_says_nothing_of_what_is_far(name, expected):
    assert nearest(name, ["CrossEntropy", "FocalLoss"]) == expected
