"""Own images: a folder of classes, a folder of splits, or a list."""

from pathlib import Path

import pytest

from longtail.data.convert.hold_out import HoldOut
from longtail.data.convert.own import own_splits
from longtail.data.convert.own_lists import read_own_lists
from longtail.errors import UserError

FIFTH = HoldOut(0.2)


def write(root: Path, *folders: str, images: int = 10) -> Path:
    """Write empty images into folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(images):
            (root / folder / f"{number}.png").touch()
    return root


@pytest.mark.parametrize("split", ["", "train/"], ids=["classes", "splits"])
def test_images_of_a_folder_are_held_out_together(tmp_path: Path, split: str) -> None:
    names = [f"{split}{label}/patient{number}" for label in "ab" for number in range(10)]
    splits = own_splits(write(tmp_path, *names, images=4), FIFTH, group="folder")
    folders = [{Path(path).parent for path in splits[name].paths} for name in ("train", "valid")]
    assert all(folders) and not folders[0] & folders[1]
    with pytest.raises(UserError, match=r"^DATASET.HOLD_OUT.GROUP is 'patient', but .* is a folder; allowed: 'folder'"):
        own_splits(tmp_path, FIFTH, group="patient")


def test_folder_of_a_listed_image_may_be_written_in_several_ways(tmp_path: Path) -> None:
    ways = ("", "./", f"{tmp_path}/", "other/../")
    lines = [f"{ways[number % 4]}f{number // 4}/{number}.png {number // 20}" for number in range(40)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    train = read_own_lists({"train": tmp_path / "list.txt"}, image_path=tmp_path, group="folder")["train"]
    assert sorted(set(train.groups or ())) == [str(tmp_path / f"f{number}") for number in range(10)]


def test_test_images_are_held_out_beside_own_validation_images(tmp_path: Path) -> None:
    write(tmp_path, "train/a", "train/b", "val/a", "val/b")
    splits = own_splits(tmp_path, HoldOut(0.2, 0.3))
    assert {name: split.class_counts() for name, split in splits.items()} == {
        "train": [7, 7],
        "test": [3, 3],
        "valid": [10, 10],
    }
    assert own_splits(tmp_path, FIFTH).keys() == {"train", "valid"}


@pytest.mark.parametrize(
    ("there", "rule", "message"),
    [
        ("test", HoldOut(0.2, 0.2), r"^DATASET.HOLD_OUT.TEST is 0\.2, but .* has test images already; set it to 0$"),
        ("val", HoldOut(0.2, folds=3), r"^DATASET.HOLD_OUT.FOLDS is 3, but .* has validation images already"),
        ("test", HoldOut(0.2, fold=2), r"^fold 2 of 0 does not exist; DATASET.HOLD_OUT.FOLDS must be at least 2"),
    ],
)
def test_rule_that_does_not_fit_the_images_is_refused(tmp_path: Path, there: str, rule: HoldOut, message: str) -> None:
    write(tmp_path, "train/a", "train/b", f"{there}/a", f"{there}/b")
    with pytest.raises(UserError, match=message):
        own_splits(tmp_path, rule)


@pytest.mark.parametrize(("group", "what"), [("", "image"), ("folder", "group of images")])
def test_test_images_that_no_class_can_spare_are_refused(tmp_path: Path, group: str, what: str) -> None:
    write(tmp_path, "a/1", "a/2", "b/3", "b/4", images=1)
    with pytest.raises(
        UserError, match=rf"^no {what} can be held out for testing: .*; set DATASET.HOLD_OUT.TEST to 0$"
    ):
        own_splits(tmp_path, HoldOut(1, 1), group=group)


def test_images_of_two_splits_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "train/a", "train/b", "val/a")
    (tmp_path / "val/b").symlink_to(tmp_path / "train/b")
    message = (
        r"^10 images occur twice, such as .*train/b/0\.png \(train\) and .*val/b/0\.png \(valid\), which are one file"
    )
    with pytest.raises(UserError, match=message):
        own_splits(tmp_path, FIFTH)


@pytest.mark.parametrize(
    ("train", "other", "places"),
    [
        ("a/0.png,cat,", "./a/0.png,dog,", r"a/0\.png \(train\) and .*\./a/0\.png \(valid\)"),
        ("a/0.png,cat,", "link/0.png,cat,test", r"a/0\.png \(train\) and .*link/0\.png \(test\)"),
        ("a/0.png,cat,", "a/0.png,dog,train", r"a/0\.png \(train\) and .*a/0\.png \(train\)"),
        ("a/0.png,cat,\nlink/0.png,cat,", "a/2.png,dog,", r"a/0\.png \(train\) and .*link/0\.png \(train\)"),
    ],
)
def test_images_of_two_lists_are_refused(tmp_path: Path, train: str, other: str, places: str) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path, "a") / "a")
    lists = {"train": f"{train}\na/1.png,dog,", "valid": other}
    for name, lines in lists.items():
        (tmp_path / f"{name}.csv").write_text(f"path,label,split\n{lines}\n")
    with pytest.raises(
        UserError, match=rf"^1 images occur twice, such as .*{places}, which are one file; each must be"
    ):
        read_own_lists({name: tmp_path / f"{name}.csv" for name in lists}, image_path=tmp_path)


def test_paths_that_no_file_system_can_hold_are_listed(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "path,label,split\na\0b/0.png,cat,train\nb/0.png,dog,train\na\0b/1.png,cat,val\n"
    )
    assert own_splits(tmp_path / "list.csv", FIFTH)["valid"].paths == [f"{tmp_path}/a\0b/1.png"]
