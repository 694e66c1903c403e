"""Reading YAML files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.config import read_yaml
from longtail.errors import UserError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_yaml(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("-3", -3),
        ("2e-4", 2e-4),
        ("1.5", 1.5),
        (".5", 0.5),
        (".inf", float("inf")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("[a, 1]", ["a", 1]),
        ("'12'", "12"),
        # What YAML 1.1 would read as something else stays a string.
        ("12:30", "12:30"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("2026-01-31", "2026-01-31"),
        ("no", "no"),
        ("off", "off"),
        ("0x10", "0x10"),
    ],
)
def test_read_yaml_values_are_as_written(write: Write, text: str, expected: Any) -> None:
    value = read_yaml(write(f"KEY: {text}\n"))["KEY"]
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_read_yaml_empty_file(write: Write, text: str) -> None:
    assert read_yaml(write(text)) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_read_yaml_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes("NAME: Zürich".encode(encoding))
    assert read_yaml(tmp_path / "a.yaml") == {"NAME": "Zürich"}


def test_read_yaml_merge_keys_may_repeat(write: Write) -> None:
    text = "A: &a {X: 1}\nB: &b {Y: 2}\nC:\n  <<: *a\n  <<: *b\n  Z: 3\n"
    assert read_yaml(write(text))["C"] == {"X": 1, "Y": 2, "Z": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NAME: a\nNAME: b", " line 1: key 'NAME' is written twice"),
        ("TRAIN:\n  BATCH_SIZE: 1\n  BATCH_SIZE: 2", " line 2: key 'BATCH_SIZE' is written twice"),
        ("NAME: a\nTRAIN: [1,", " line 2: "),
        ("NAME: a\n\tTRAIN: 1", " line 2: "),
        ("NAME: \x07", "special characters are not allowed"),
        ("NAME: !!python/object:os.system x", "could not determine a constructor"),
        ("NAME: !!int abc", "a value cannot be read"),
        ("- a\n- b", " holds a list; it must hold KEY: VALUE lines"),
        ("just a text", " holds a str; it must hold KEY: VALUE lines"),
        ("A: &a {B: *a}", "contains itself, is nested too deeply, or has more than 100,000 values"),
        (f"A: {60 * '['}{60 * ']'}", "nested too deeply"),
        (f"A: {2_000 * '['}", "is nested too deeply"),
    ],
)
def test_read_yaml_reports_errors_in_one_line(write: Write, text: str, message: str) -> None:
    assert message in refusal(write(text))


def test_read_yaml_refuses_aliases_that_grow(write: Write) -> None:
    lines = ["A0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"A{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "has more than 100,000 values" in refusal(write("\n".join(lines)))


def test_read_yaml_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml") == f"config file {tmp_path}/absent.yaml does not exist"
    assert refusal(tmp_path) == f"config file {tmp_path} cannot be read: it is a folder"
    (tmp_path / "latin1.yaml").write_bytes("NAME: Z\xfcrich".encode("latin-1"))
    assert refusal(tmp_path / "latin1.yaml").endswith("latin1.yaml is not UTF-8 text: byte 7 is invalid")


def test_read_yaml_names_the_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^recipe .*absent\.yaml does not exist$"):
        read_yaml(tmp_path / "absent.yaml", "recipe")
