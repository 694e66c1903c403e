"""Errors that are reported in one line."""

import pytest

from longtail.errors import UserError, errors_in, one_line


def test_errors_in_of_one_error_is_one_line() -> None:
    error = errors_in("annotation file x.json", ["line 3: no category_id"])
    assert isinstance(error, UserError)
    assert str(error) == "annotation file x.json: line 3: no category_id"


@pytest.mark.parametrize(("number", "shown"), [(2, 2), (10, 10), (1200, 10)])
def test_errors_in_lists_at_most_ten(number: int, shown: int) -> None:
    lines = str(errors_in("x.json", [f"error {n}" for n in range(number)])).split("\n")
    first = ", the first 10" if number > 10 else ""
    assert lines == [f"x.json: {number:,} errors{first}:", *(f"  error {n}" for n in range(shown))]


def test_errors_in_names_their_kind() -> None:
    assert str(errors_in("x", ["a", "b"], kind="bad images")).startswith("x: 2 bad images:\n")


@pytest.mark.parametrize(
    ("text", "line"), [("a\n  b", "a b"), ("", "ValueError"), (" \n", "ValueError"), ("x" * 300, "x" * 200)]
)
def test_one_line_of_an_error_of_a_library(text: str, line: str) -> None:
    assert one_line(ValueError(text)) == line
