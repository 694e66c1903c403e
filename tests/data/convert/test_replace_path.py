"""Tests of tools/replace_path.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from longtail.data.annotations import read_annotations


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Write an annotation file with three images below one root and one below another."""
    paths = ["/old/data/a/1.jpg", "/old/data/2.jpg", "/old/data/old/data/3.jpg", "/old/database/4.jpg"]
    entries = [{"fpath": path, "category_id": 0, "taken_by": "me"} for path in paths]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"annotations": entries, "num_classes": 1, "note": "kept"}))
    return path


@pytest.mark.parametrize("root", ["/old/data", "/old/data/"])
def test_replace_path(run: Any, content: Any, file: Any, root: Any) -> None:
    output = run("replace_path", "--json_file", file, "--find_root", root, "--replaces_to", "/new", "--no-check")
    changed = content(file)
    assert [entry["fpath"] for entry in changed["annotations"]] == [
        "/new/a/1.jpg",
        "/new/2.jpg",
        "/new/old/data/3.jpg",
        "/old/database/4.jpg",
    ]
    assert changed["note"] == "kept" and changed["annotations"][0]["taken_by"] == "me"
    assert f"{file}: 3 of 4 paths now begin with /new/" in output
    assert "WARNING: 1 paths did not match, the first is /old/database/4.jpg" in output


def test_replace_path_relative(run: Any, content: Any, file: Any) -> None:
    run("replace_path", "--json_file", file, "-f", "/old/data", "-r", "", "--no-check")
    assert content(file)["annotations"][0]["fpath"] == "a/1.jpg"


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("/elsewhere", "none of 4 paths begins with /elsewhere/; all begin with /old/"),
        ("data", "none of 4 paths begins with data/; all begin with /old/"),
        ("", "-f/--find_root is empty; it must be the folder that paths begin with"),
    ],
)
def test_replace_path_no_match(refused: Any, file: Any, root: Any, message: Any) -> None:
    before = file.read_bytes()
    assert message in refused("replace_path", "--json_file", file, "-f", root, "-r", "/new", "--no-check")
    assert file.read_bytes() == before


def test_replace_path_missing_images(run: Any, refused: Any, file: Any, tmp_path: Path) -> None:
    before = file.read_bytes()
    error = refused("replace_path", "--json_file", file, "-f", "/old/data", "-r", tmp_path / "new")
    assert f"{file}: 3 of 3 images do not exist (--no-check skips this check):" in error
    assert file.read_bytes() == before
    for name in ("a/1.jpg", "2.jpg", "old/data/3.jpg"):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / name).write_bytes(b"")
    run("replace_path", "--json_file", file, "-f", "/old/data", "-r", tmp_path / "new")
    assert read_annotations(file).paths[0] == f"{tmp_path}/new/a/1.jpg"


def test_replace_path_invalid_file(refused: Any, file: Any) -> None:
    file.write_text('{"annotations": [{}], "num_classes": 1}')
    error = refused("replace_path", "--json_file", file, "-f", "/old", "-r", "/new")
    assert error == f"annotation file {file}: annotation 0 has fpath None; it must be the path of an image"


def test_replace_path_released_places_command(run: Any, refused: Any, splits: Any, tmp_path: Path) -> None:
    path = tmp_path / "Places_LT_val.json"
    path.write_bytes((splits / "Places_LT_val.json").read_bytes())
    released = "/media/ssd1/lijun/data/places365_standard"
    printed = refused("replace_path", "--json_file", path, "-f", released, "-r", "/data/places", "--no-check")
    assert "none of 7,300 paths begins with" in printed
    assert "all begin with /media/ssd2/lijun/data/places365_standard/train/" in printed
    right = released.replace("ssd1", "ssd2")
    printed = run("replace_path", "--json_file", path, "-f", right, "-r", "/data/places", "--no-check")
    assert "7,300 of 7,300 paths now begin with /data/places/" in printed
    assert read_annotations(path).paths[0] == "/data/places/train/airfield/00002049.jpg"


def test_replace_path_impossible_root(refused: Any, file: Any) -> None:
    before = file.read_bytes()
    message = refused("replace_path", "--json_file", file, "-f", "/data/", "-r", "x" * 300, "--no-check")
    assert message.endswith("a name in a path has 300 bytes, at most 255")
    assert file.read_bytes() == before
