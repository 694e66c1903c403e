"""Tests of the converter of class folders."""

from pathlib import Path
from typing import Any

import pytest

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.annotations import read_annotations


def arguments(root: Any, tmp_path: Path, *options: Any) -> Any:
    return "--input_path", root, "--output_path", tmp_path / "out", *options


def test_convert_folder_classes(run: Any, content: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"owl": 2, "Ant": 1, "bee": 3})
    (root / "bee" / "deeper").mkdir()
    (root / "bee" / "000.png").rename(root / "bee" / "deeper" / "X.PNG")
    (root / "bee" / "notes.txt").touch()
    (root / "bee" / ".hidden.png").touch()
    (root / ".cache").mkdir()
    output = run("convert_from_folder", *arguments(root, tmp_path))
    written = content(tmp_path / "out/train.json")
    assert written["classes"] == ["Ant", "bee", "owl"] and written["num_classes"] == 3
    assert [(entry["fpath"].removeprefix(f"{root}/"), entry["category_id"]) for entry in written["annotations"]] == [
        ("Ant/000.png", 0),
        ("bee/001.png", 1),
        ("bee/002.png", 1),
        ("bee/deeper/X.PNG", 1),
        ("owl/000.png", 2),
        ("owl/001.png", 2),
    ]
    assert "6 images, 3 classes, 3 to 1 images per class, imbalance factor 3, 0 many / 0 medium / 3 few-shot" in output
    assert not (tmp_path / "out/valid.json").exists()


def test_convert_folder_valid_per_class(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 9, "b": 12})
    run("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 4))
    train, valid = (read_annotations(tmp_path / "out" / f"{split}.json") for split in ("train", "valid"))
    assert valid.labels == [0] * 4 + [1] * 4 and train.labels == [0] * 5 + [1] * 8
    assert sorted(train.paths + valid.paths) == sorted(str(path) for path in root.rglob("*.png"))
    run("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 4, "--force"))
    assert read_annotations(tmp_path / "out/valid.json") == valid
    run("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 4, "--seed", 1, "--force"))
    assert set(read_annotations(tmp_path / "out/valid.json").paths) != set(valid.paths)


def test_convert_folder_valid_path(run: Any, class_folders: Any, tmp_path: Path) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2}), class_folders("val", {"a": 1, "b": 1})
    run("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid))
    keys = [f"DATASET.{key}_JSON" for key in ("TRAIN", "VALID")]
    files = [str(tmp_path / "out" / f"{split}.json") for split in ("train", "valid")]
    read = build_splits(load_config(None, ["DATASET.DATASET", "annotations", keys[0], files[0], keys[1], files[1]]))
    assert read.train.class_counts() == [5, 2]
    pixels: Any = read.valid.load()
    assert pixels.shape == (2, 3, 4, 4)


def test_convert_folder_imbalance_factor(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 10, "b": 8, "c": 30, "d": 3})
    output = run("convert_from_folder", *arguments(root, tmp_path, "--imbalance_factor", 4))
    labels = read_annotations(tmp_path / "out/train.json").labels
    # 10 x 4^(-i/3) = 10, 6.3, 3.97, 2.5
    assert [labels.count(label) for label in range(4)] == [10, 6, 3, 2]
    assert "imbalance factor 5, " in output  # of the rounded counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--imbalance_factor", 12],
            "the imbalance factor 12 would leave class 'c' without images; the largest class can",
        ),
        (["--imbalance_factor", 0.5], "the imbalance factor is 0.5; it must be 1 or more"),
        (["--imbalance_factor", "nan"], "the imbalance factor is nan; it must be 1 or more"),
        (["--valid_per_class", 0], "0 images of each class are to be held out; it must be 1 or more"),
        (["--valid_per_class", 5], "5 images of each class are to be held out: class 'c' has 5"),
        (
            ["--valid_per_class", 6],
            "are to be held out: 2 classes have no more:\n  class 'b' has 6\n  class 'c' has 5",
        ),
        (["--valid_path", "nowhere"], "folder nowhere does not exist"),
    ],
)
def test_convert_folder_invalid_numbers(
    refused: Any, class_folders: Any, tmp_path: Path, options: Any, message: Any
) -> None:
    root = class_folders("photos", {"a": 9, "b": 6, "c": 5})
    assert message in refused("convert_from_folder", *arguments(root, tmp_path, *options))
    assert not (tmp_path / "out").exists()


def test_convert_folder_without_classes(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 1, "b": 0, "c": 0})
    error = refused("convert_from_folder", *arguments(root, tmp_path))
    assert f"folder {root}: 2 classes without images:\n  {root}/b holds no images (.bmp, " in error
    error = refused("convert_from_folder", *arguments(root / "a", tmp_path))
    assert error == f"{root}/a holds no folders; each class needs one, with its images in it"
    assert refused("convert_from_folder", *arguments("nowhere", tmp_path)) == "folder nowhere does not exist"


def test_convert_folder_different_classes(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2}), class_folders("val", {"a": 1, "c": 1})
    error = refused("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid))
    assert error == f"{valid} has other classes than the training images: b, c in one of them only"


def test_convert_folder_force(run: Any, refused: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 3})
    run("convert_from_folder", *arguments(root, tmp_path))
    error = refused("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 1))
    assert error == f"{tmp_path}/out/train.json exists; --force replaces it"
