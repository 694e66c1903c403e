"""Own images as a data source: folders of classes, folders of splits, and lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.convert.own import fitting_settings
from longtail.errors import UserError

OWN = ["DATASET.DATASET", "own", "DATASET.ROOT"]


def folders(root: Path, counts: dict[str, int]) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((8, 8, 3), 10 * label + number, np.uint8)).save(root / name / f"{number}.png")
    return root


def splits(root: Path, *overrides: Any) -> Any:
    return build_splits(load_config(None, [*OWN, str(root), *overrides]))


def test_own_folder_of_classes_holds_out_a_fraction(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 3, "c": 1})
    read = splits(root)
    assert (read.train.class_counts(), read.valid.class_counts(), read.test) == ([8, 2, 1], [2, 1, 0], None)
    assert not set(read.train.paths) & set(read.valid.paths)
    assert splits(root).valid.paths == read.valid.paths
    assert splits(root, "DATASET.HOLD_OUT.SEED", 1).valid.paths != read.valid.paths


def test_own_folder_with_test_images(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 4})
    read = splits(root, "DATASET.HOLD_OUT.VALID", 3, "DATASET.HOLD_OUT.TEST", 2, "DATASET.HOLD_OUT.KEEP", 2)
    assert [split.class_counts() for split in read] == [[5, 2], [3, 2], [2, 0]]


def test_own_folder_of_splits(tmp_path: Path) -> None:
    for name, counts in {"train": {"a": 3, "b": 2}, "val": {"a": 1, "b": 1}, "test": {"b": 2}}.items():
        folders(tmp_path / "photos" / name, counts)
    read = splits(tmp_path / "photos")
    assert [split.class_counts() for split in read] == [[3, 2], [1, 1], [0, 2]]


def test_own_list(tmp_path: Path) -> None:
    folders(tmp_path / "photos", {"a": 2, "b": 2})
    lines = ["path,label,split", *(f"photos/{name}/0.png,{name},train" for name in "ab"), "photos/b/1.png,b,val"]
    (tmp_path / "images.csv").write_text("\n".join(lines))
    read = splits(tmp_path / "images.csv")
    assert (read.train.class_counts(), read.valid.class_counts()) == ([1, 1], [0, 1])
    assert read.train.load().shape == (2, 3, 8, 8)


def test_own_folder_and_validation_images_of_a_file(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 4})
    (tmp_path / "v.json").write_text(
        '{"annotations": [{"fpath": "photos/a/0.png", "category_id": 0}], "num_classes": 2}'
    )
    read = splits(root, "DATASET.VALID_JSON", str(tmp_path / "v.json"))
    assert (read.train.class_counts(), len(read.valid)) == ([10, 4], 1)


@pytest.mark.parametrize(
    ("counts", "overrides", "message"),
    [
        ({"a": 1, "b": 1}, [], "has no validation images, and DATASET.HOLD_OUT.VALID is 0.2"),
        ({"a": 9, "b": 9}, ["DATASET.HOLD_OUT.VALID", 1.5], "1.5 validation images of each class are to be held out"),
        ({"a": 9}, ["DATASET.ROOT", "nowhere"], "folder nowhere does not exist"),
        ({"a": 9}, ["DATASET.ROOT", ""], "DATASET.ROOT is empty; data set 'own' needs a folder"),
    ],
)
def test_own_refuses(tmp_path: Path, counts: dict[str, int], overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        splits(folders(tmp_path / "photos", counts), *overrides)


def test_fitting_settings_keep_eight_steps(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 30, "b": 20})
    keys = ["TRAIN.BATCH_SIZE", 32, "TRAIN.OPTIMIZER.BASE_LR", 0.32]
    cfg = load_config(None, [*OWN, str(root), *keys])
    assert fitting_settings(cfg) == ["TRAIN.BATCH_SIZE", 5, "TRAIN.OPTIMIZER.BASE_LR", pytest.approx(0.05)]
    assert fitting_settings(load_config(None, [*OWN, str(root), "TRAIN.BATCH_SIZE", 4])) == []
