"""Opening files that a user names: read correctly, or refused in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from longtail import user_files
from longtail.errors import UserError
from longtail.user_files import (
    check_path,
    check_regular,
    is_file,
    is_folder,
    read_bytes,
    read_json,
    read_text,
    shown,
    translating,
)


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments)
    message = str(error.value)
    assert "\n" not in message and message.isprintable()
    return message


def test_shown_is_printable() -> None:
    assert shown("a/ü.txt") == "a/ü.txt"
    assert shown("a\nb") == r"a\nb"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\0b", r"file a\x00b: a path must not hold a NUL character"),
        ("a\ud800b", r"file a\ud800b: a path must not hold lone surrogates"),
        ("x/" + 256 * "n", "a name in a path has 256 bytes, at most 255"),
        ("x/" + 128 * "ü", "a name in a path has 256 bytes, at most 255"),
    ],
)
def test_check_path_refuses_impossible_paths(path: str, message: str) -> None:
    assert message in refusal(check_path, path, "file")


def test_check_path_accepts_long_names_that_fit() -> None:
    check_path("x/" * 300 + 255 * "n", "file")


def test_check_regular_returns_the_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert check_regular(tmp_path / "a", "file") == 3


def test_check_regular_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    assert refusal(check_regular, tmp_path / "absent", "file") == f"file {tmp_path}/absent does not exist"
    assert refusal(check_regular, tmp_path, "file") == f"file {tmp_path} cannot be read: it is a folder"
    assert refusal(check_regular, tmp_path / "fifo", "file").endswith("fifo cannot be read: it is not a regular file")
    assert refusal(check_regular, "/dev/zero", "file").endswith("it is not a regular file")
    assert "loop cannot be read: Too many levels of symbolic links" in refusal(check_regular, tmp_path / "loop", "file")


def test_check_regular_refuses_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(user_files.LARGEST, "recipe", 2**20)
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**20 + 2**19)
    assert refusal(check_regular, tmp_path / "a", "recipe").endswith("has 1.5 MB; at most 1 MB are read")
    assert check_regular(tmp_path / "a", "checkpoint") == 2**20 + 2**19  # without a limit


def test_read_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00\xff")
    assert read_bytes(tmp_path / "a", "file") == b"\x00\xff"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_read_text_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a").write_bytes("Zürich".encode(encoding))
    assert read_text(tmp_path / "a", "file") == "Zürich"


def test_read_text_refuses_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("Zürich".encode("latin-1"))
    assert refusal(read_text, tmp_path / "a", "file") == f"file {tmp_path}/a is not UTF-8 text: byte 1 is invalid"


def test_read_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps({"a": [1, 2.5, None]}))
    assert read_json(tmp_path / "a", "file") == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it must hold JSON"),
        (" \n", "is empty; it must hold JSON"),
        ('{"a": 1,\n "b" 2}', "line 2 column 6: Expecting ':' delimiter; it must hold JSON"),
        (100_000 * "[", "is nested too deeply"),
        (5_000 * "1", "holds a number with too many digits"),
    ],
)
def test_read_json_refuses_malformed_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a").write_text(text)
    assert refusal(read_json, tmp_path / "a", "file") == f"file {tmp_path}/a {message}"


@pytest.mark.parametrize(
    ("error", "verb", "message"),
    [
        (OSError(28, "No space left on device"), "written", "table a.csv cannot be written: No space left on device"),
        (OSError(28, "No space", "b.csv"), "written", "table b.csv cannot be written: No space"),
        (FileNotFoundError(2, "No such file"), "read", "table a.csv does not exist"),
        (PermissionError(13, "Permission denied"), "read", "table a.csv cannot be read: Permission denied"),
        (ValueError("embedded null byte"), "read", "table a.csv: a path must not hold a NUL character"),
    ],
)
def test_translating_reports_errors_of_the_system(error: Exception, verb: str, message: str) -> None:
    with pytest.raises(UserError) as translated, translating("a.csv", "table", verb=verb):
        raise error
    assert str(translated.value) == message


def test_translating_passes_other_errors_on() -> None:
    with pytest.raises(ValueError, match="2 class counts"), translating("a.csv", "table"):
        raise ValueError("2 class counts for 3 classes")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "\ud800", "absent", "file/below"])
def test_is_folder_and_is_file_of_paths_that_do_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert is_file("file") and is_folder(".")
    assert not is_file(path) and not is_folder(path) and not is_file(".") and not is_folder("file")
