import json
import os
from pathlib import Path
from typing import Any

import pytest

from longtail.data.annotations import read_annotations
from longtail.errors import UserError

GOOD = {"fpath": "a/0.jpg", "category_id": 0, "image_id": 7, "im_height": 3, "im_width": 4}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: Any) -> Any:
        path = tmp_path / "train.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def refusal(path: Any) -> Any:
    with pytest.raises(UserError) as error:
        read_annotations(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_read_annotations_relative_to_file(write: Any, tmp_path: Path) -> None:
    path = write({"annotations": [GOOD, {"fpath": "1.jpg", "category_id": 2}], "num_classes": 3})
    listed = read_annotations(path)
    assert listed.paths == [str(tmp_path / "a/0.jpg"), str(tmp_path / "1.jpg")]
    assert listed.labels == [0, 2]
    assert listed.num_classes == 3


def test_read_annotations_relative_to_root(write: Any) -> None:
    listed = read_annotations(write({"annotations": [GOOD], "num_classes": 1}), "/data")
    assert listed.paths == [str(Path("/data/a/0.jpg"))]


def test_read_annotations_absolute_paths(write: Any) -> None:
    entry = {"fpath": "/elsewhere/0.jpg", "category_id": 0}
    path = write({"annotations": [entry], "num_classes": 1})
    assert read_annotations(path, "/data").paths == ["/elsewhere/0.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; it must hold JSON"),
        ("  \n", "is empty; it must hold JSON"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"num_classes": ' + "1" * 5000 + "}", "holds a number with too many digits"),
        (
            {"annotations": [GOOD], "num_classes": 10**9},
            "num_classes is 1000000000; it must be a whole number from 1 to",
        ),
        (
            {"annotations": [GOOD | {"fpath": "a\0b"}], "num_classes": 3},
            "annotation 0 has fpath 'a\\x00b'; no file can",
        ),
        ({"annotations": [GOOD | {"fpath": "\ud800"}], "num_classes": 3}, "no file can have this name"),
        ({"annotations": [GOOD | {"fpath": "\udcff.png"}], "num_classes": 3}, "or it is not UTF-8"),
        ('{"annotations": [\n  {"fpath": "a" "category_id"}]}', "line 2 column 17"),
        ("[1, 2]", 'must hold {"annotations": [...], "num_classes": C}'),
        ("3", 'must hold {"annotations": [...], "num_classes": C}'),
        ({"num_classes": 3}, 'must hold {"annotations": [...], "num_classes": C}'),
        ({"annotations": {"0": GOOD}, "num_classes": 3}, 'must hold {"annotations": [...], "num_classes": C}'),
        ({"annotations": [], "num_classes": 3}, "lists no images"),
        ({"annotations": [GOOD]}, "num_classes is None; it must be a whole number from 1"),
        ({"annotations": [], "images": [], "categories": []}, "is in the format of COCO; tools/convert_from_iNat.py"),
        ({"annotations": [GOOD], "num_classes": "3"}, "num_classes is '3'"),
        ({"annotations": [GOOD], "num_classes": 3.0}, "num_classes is 3.0"),
        ({"annotations": [GOOD], "num_classes": True}, "num_classes is True"),
        ({"annotations": [GOOD], "num_classes": 0}, "num_classes is 0"),
    ],
)
def test_read_annotations_malformed_file(write: Any, content: Any, message: Any) -> None:
    assert message in refusal(write(content))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("0.jpg", "annotation 1 is '0.jpg'; it must be an object with fpath and category_id"),
        ({"category_id": 0}, "annotation 1 has fpath None; it must be the path of an image"),
        ({"fpath": "", "category_id": 0}, "annotation 1 has fpath ''"),
        ({"fpath": 3, "category_id": 0}, "annotation 1 has fpath 3"),
        ({"fpath": "x.jpg"}, "annotation 1 (x.jpg) has category_id None; allowed: 0 to 2"),
        ({"fpath": "x.jpg", "category_id": 3}, "annotation 1 (x.jpg) has category_id 3; allowed: 0 to 2"),
        ({"fpath": "x.jpg", "category_id": -1}, "has category_id -1"),
        ({"fpath": "x.jpg", "category_id": "0"}, "has category_id '0'"),
        ({"fpath": "x.jpg", "category_id": True}, "has category_id True"),
        ({"fpath": "x.jpg", "category_id": 1.0}, "has category_id 1.0"),
    ],
)
def test_read_annotations_invalid_entry(write: Any, entry: Any, message: Any) -> None:
    error = refusal(write({"annotations": [GOOD, entry], "num_classes": 3}))
    assert message in error


def test_read_annotations_lists_first_ten_faults(write: Any) -> None:
    wrong = {"fpath": "x.jpg", "category_id": 9}
    path = write({"annotations": [wrong, GOOD, *[wrong] * 11, {}], "num_classes": 3})
    with pytest.raises(UserError) as error:
        read_annotations(path)
    printed = str(error.value).splitlines()
    assert printed[0] == f"annotation file {path}: 13 errors, the first 10:"
    expected = "annotation {} (x.jpg) has category_id 9; allowed: 0 to 2"
    assert printed[1:] == [f"  {expected.format(position)}" for position in (0, *range(2, 11))]


def test_read_annotations_lists_all_faults_below_ten(write: Any) -> None:
    path = write({"annotations": [{"fpath": "", "category_id": 0}, GOOD, 7], "num_classes": 1})
    with pytest.raises(UserError) as error:
        read_annotations(path)
    assert str(error.value).splitlines() == [
        f"annotation file {path}: 2 errors:",
        "  annotation 0 has fpath ''; it must be the path of an image",
        "  annotation 2 is 7; it must be an object with fpath and category_id",
    ]


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None])
def test_read_annotations_unknown_version(write: Any, version: Any) -> None:
    error = refusal(write({"version": version, "annotations": [GOOD], "num_classes": 1}))
    assert f"version is {version!r}; this software reads version 1" in error


def test_read_annotations_version_1(write: Any) -> None:
    assert read_annotations(write({"version": 1, "annotations": [GOOD], "num_classes": 1})).labels == [0]


def test_read_annotations_file_in_working_directory(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"annotations": [GOOD], "num_classes": 1})
    monkeypatch.chdir(tmp_path)
    assert read_annotations("train.json").paths == ["a/0.jpg"]


def test_read_annotations_missing_or_unreadable_file(tmp_path: Path) -> None:
    assert "absent.json does not exist" in refusal(tmp_path / "absent.json")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "latin1.json").write_bytes(b'{"annotations": "\xfc"}')
    assert "is not UTF-8 text: byte 17 is invalid" in refusal(tmp_path / "latin1.json")
    os.mkfifo(tmp_path / "fifo.json")
    assert "cannot be read: it is not a regular file" in refusal(tmp_path / "fifo.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_read_annotations_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    content = json.dumps({"annotations": [GOOD], "num_classes": 1})
    (tmp_path / "train.json").write_bytes(content.encode(encoding))
    assert read_annotations(tmp_path / "train.json").labels == [0]
