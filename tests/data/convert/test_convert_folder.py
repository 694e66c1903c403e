"""Tests of the converter of class folders."""

import os
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


def test_shot_groups_are_reported_for_training_images_only(run: Any, class_folders: Any, tmp_path: Path) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2}), class_folders("val", {"a": 2, "b": 1})
    lines = run("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid)).splitlines()
    of = {split: next(line for line in lines if f"{split}.json: " in line) for split in ("train", "valid")}
    assert of["train"].endswith("imbalance factor 2.5, 0 many / 0 medium / 2 few-shot classes")
    assert of["valid"].endswith("3 images, 2 classes, 2 to 1 images per class, imbalance factor 2")


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


def test_convert_folder_imbalance_factor_of_equal_classes_keeps_the_first_whole(
    run: Any, class_folders: Any, tmp_path: Path
) -> None:
    root = class_folders("photos", {"a": 8, "b": 8, "c": 8})
    run("convert_from_folder", *arguments(root, tmp_path, "--imbalance_factor", 4))
    assert read_annotations(tmp_path / "out/train.json").labels == [0] * 8 + [1] * 4 + [2] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--imbalance_factor", 12],
            "the imbalance factor 12 leaves class 'c' without images; the largest class can",
        ),
        (["--imbalance_factor", 0.5], "the imbalance factor is 0.5; it must be 1 or more"),
        (["--imbalance_factor", "nan"], "the imbalance factor is nan; it must be 1 or more"),
        (["--imbalance_factor", "inf"], "the imbalance factor is inf; it must be 1 or more"),
        (["--imbalance_factor", 2, "--seed", -1], "the seed is -1; it must be 0 to 4294967295"),
        (["--valid_per_class", 0], "--valid_per_class is 0; it must be 1 or more"),
        (["--valid_per_class", 2, "--seed", 2**32], "the seed is 4294967296; it must be 0 to 4294967295"),
        (
            ["--valid_per_class", 2, "--keep", 0],
            "the number of training images that each class keeps is 0; it must be 1 or more",
        ),
        (["--valid_fraction", 1.5], "--valid_fraction is 1.5; it must be between 0 and 1"),
        (["--test_fraction", 0.5], "--test_per_class and --test_fraction need --valid_per_class or --valid_fraction"),
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
    assert f"folder {root}: 2 classes without images:\n  {root}/b holds no images (JPEG, " in error
    error = refused("convert_from_folder", *arguments(root / "a", tmp_path))
    assert error == f"{root}/a has no subfolders; each class needs one that holds its images"
    assert refused("convert_from_folder", *arguments("nowhere", tmp_path)) == "folder nowhere does not exist"


def test_convert_folder_different_classes(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2}), class_folders("val", {"a": 1, "c": 1})
    error = refused("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid))
    assert error == f"{valid} has classes that the training images do not have: c"


def test_convert_folder_class_without_validation_images(run: Any, class_folders: Any, tmp_path: Path) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2, "c": 1}), class_folders("val", {"c": 1, "a": 1})
    output = run("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid))
    assert f"WARNING: {valid} has no images of: b" in output
    written = read_annotations(tmp_path / "out/valid.json")
    assert (written.labels, written.num_classes) == ([0, 2], 3)


@pytest.mark.parametrize("inside", [".", "..", "a"])
def test_convert_folder_validation_images_inside_the_training_images(
    refused: Any, class_folders: Any, tmp_path: Path, inside: str
) -> None:
    root = class_folders("photos", {"a": 3, "b": 2})
    error = refused("convert_from_folder", *arguments(root, tmp_path, "--valid_path", root / inside))
    assert (
        f"the validation images in {root / inside} are inside the folder of the training images, {root}, or the reverse"
        == error
    )


def test_convert_folder_validation_images_that_are_training_images(
    refused: Any, class_folders: Any, tmp_path: Path
) -> None:
    train, valid = class_folders("train", {"a": 5, "b": 2}), class_folders("val", {"a": 1})
    (valid / "b").symlink_to(train / "b")
    error = refused("convert_from_folder", *arguments(train, tmp_path, "--valid_path", valid))
    assert error.startswith(f"2 images occur twice, such as {train}/b/000.png (train) and {valid}/b/000.png (valid)")


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Validation", "test"), ("training", "valid")])
def test_convert_folder_of_splits(run: Any, class_folders: Any, tmp_path: Path, names: Any) -> None:
    for number, name in enumerate(names):
        class_folders(f"root/{name}", {"a": 4 + number, "b": 2})
    run("convert_from_folder", *arguments(tmp_path / "root", tmp_path))
    splits = ["train", "valid", "test"][: len(names)]
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == sorted(f"{split}.json" for split in splits)
    for number, split in enumerate(splits):
        assert read_annotations(tmp_path / f"out/{split}.json").labels == [0] * (4 + number) + [1] * 2


def test_convert_folder_of_splits_does_not_hold_out(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    for name in ("train", "val"):
        class_folders(f"root/{name}", {"a": 4, "b": 2})
    error = refused("convert_from_folder", *arguments(tmp_path / "root", tmp_path, "--valid_fraction", 0.5))
    assert error.startswith(
        f"{tmp_path}/root holds the splits train, val, not classes; name the folder of the training"
    )


def test_convert_folder_of_splits_keeps_its_test_images(
    run: Any, refused: Any, class_folders: Any, tmp_path: Path
) -> None:
    for name in ("train", "test"):
        class_folders(f"photos/{name}", {"a": 4, "b": 2})
    options = arguments(tmp_path / "photos", tmp_path, "--valid_fraction", 0.2)
    error = refused("convert_from_folder", *options, "--test_fraction", 0.2)
    assert error == (
        f"{tmp_path}/photos holds the splits test, train, not classes; name the folder of the training images: "
        f"{tmp_path}/photos/train"
    )
    run("convert_from_folder", *options)
    assert read_annotations(tmp_path / "out/test.json").labels == [0] * 4 + [1] * 2


def test_convert_folder_of_classes_called_train_and_boat(run: Any, class_folders: Any, tmp_path: Path) -> None:
    run("convert_from_folder", *arguments(class_folders("photos", {"train": 2, "boat": 1}), tmp_path))
    assert read_annotations(tmp_path / "out/train.json").num_classes == 2


SERVICE = [".ipynb_checkpoints", "@eaDir/000.png", ".Trash-1000/files", ".git/lfs", "__MACOSX", "lost+found"]


def test_convert_folder_leaves_out_hidden_and_service_folders(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 2})
    for name in SERVICE:
        for parent in (root, root / "a"):
            (parent / name).mkdir(parents=True)
            (parent / name / "thumb.png").write_bytes((root / "a" / "000.png").read_bytes())
    output = run("convert_from_folder", *arguments(root, tmp_path))
    assert read_annotations(tmp_path / "out/train.json").labels == [0, 0, 0, 1, 1]
    assert f"{root}: skipped: 6 x hidden or service folder" in output


def test_convert_folder_follows_links_once(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 2})
    more = class_folders("elsewhere", {"more": 2})
    for link, target in {"l1": ".", "l2": ".", "up": "..", "root": root, "more": more / "more", "m2": more}.items():
        (root / "a" / link).symlink_to(target, target_is_directory=True)
    (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    output = run("convert_from_folder", *arguments(root, tmp_path))
    assert read_annotations(tmp_path / "out/train.json").labels == [0] * 5 + [1] * 2
    assert "5 x link to a folder that was already visited" in output
    assert "1 x link without a target" in output


def test_convert_folder_of_two_classes(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 2})
    (root / "b" / "link").symlink_to(root / "a", target_is_directory=True)
    error = refused("convert_from_folder", *arguments(root, tmp_path))
    assert error == f"folder {root}/a belongs to two classes, a and b, through a link"


def test_convert_folder_knows_images_by_their_content(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 4, "b": 2})
    (root / "a" / "000.png").rename(root / "a" / "no_suffix")
    (root / "a" / "001.png").rename(root / "a" / "x.data")
    (root / "a" / "notes.txt").write_text("BMW and P5")
    (root / "a" / "table.csv").touch()
    os.mkfifo(root / "a" / "pipe.png")
    output = run("convert_from_folder", *arguments(root, tmp_path))
    assert [Path(path).name for path in read_annotations(tmp_path / "out/train.json").paths][:4] == [
        "002.png", "003.png", "no_suffix", "x.data",
    ]  # fmt: skip
    assert all(f"1 x {part}" in output for part in (".txt", ".csv", "file that is not regular"))


def test_convert_folder_small_classes_keep_images_for_training(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 9, "b": 3, "c": 1})
    output = run("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 3, "--test_per_class", 1))
    labels = {name: read_annotations(tmp_path / f"out/{name}.json").labels for name in ("train", "valid", "test")}
    assert labels == {"train": [0] * 5 + [1, 2], "valid": [0, 0, 0, 1, 1], "test": [0]}
    assert "2 classes are too small for 3 validation images and have fewer: 'b' (2), 'c' (0)" in output
    assert "2 classes are too small for 1 test images and have fewer: 'b' (0), 'c' (0)" in output


def test_convert_folder_valid_fraction(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 10, "b": 5, "c": 2})
    run("convert_from_folder", *arguments(root, tmp_path, "--valid_fraction", 0.3, "--test_fraction", 0.2))
    counts = {name: read_annotations(tmp_path / f"out/{name}.json") for name in ("train", "valid", "test")}
    assert {name: [split.labels.count(label) for label in range(3)] for name, split in counts.items()} == {
        "train": [5, 2, 1],
        "valid": [3, 2, 1],
        "test": [2, 1, 0],
    }
    assert len({path for split in counts.values() for path in split.paths}) == 17


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_convert_folder_unreadable_subfolder(refused: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 2})
    (root / "a" / "closed").mkdir(mode=0)
    assert "closed cannot be read: Permission denied" in refused("convert_from_folder", *arguments(root, tmp_path))


def test_convert_folder_force(run: Any, refused: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 3, "b": 3})
    run("convert_from_folder", *arguments(root, tmp_path))
    error = refused("convert_from_folder", *arguments(root, tmp_path, "--valid_per_class", 1))
    assert error == f"{tmp_path}/out/train.json exists; --force replaces it"


def test_convert_folder_of_training_images_alone(run: Any, class_folders: Any, tmp_path: Path) -> None:
    class_folders("photos/train", {"a": 4, "b": 2})
    run("convert_from_folder", *arguments(tmp_path / "photos", tmp_path, "--valid_per_class", 1))
    assert read_annotations(tmp_path / "out/train.json").labels == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("a",), "{photos} holds one class, a; at least two are needed"),
        (
            ("photos/a", "photos/b"),
            "{photos} holds one class, photos; at least two are needed; if its folders a, b are the classes, name "
            "{photos}/photos",
        ),
        (
            ("train/a", "train/b", "val/a", "labels"),
            "{photos} holds the splits train, val, and other folders: labels; to use its training images only, name "
            "their folder: {photos}/train",
        ),
        (
            ("train/a", "train/b", "test"),
            "{photos} holds the splits test, train, but there are no class folders in {photos}/test; to use its "
            "training images only, name their folder: {photos}/train",
        ),
        (("val/a", "test/a"), "{photos} holds the splits test, val, but no folder train"),
        (
            ("Train/a", "train/a"),
            "{photos} holds the splits Train, train, of which two mean the same; allowed: one each for train, valid "
            "and test",
        ),
        (
            ("a/train", "a/val", "b/train"),
            "the class folders of {photos} hold splits (train, val), which would be mixed; name folders as "
            "{photos}/val/a instead",
        ),
        (
            ("train/a", "train/b", "dev/a", "dev/b"),
            "{photos} holds folders with the same subfolders, as splits have: dev, train with a, b; splits are named "
            "train, val and test; to use one folder only, name it: {photos}/train; if the folders are classes, list "
            "their images in a .csv file, or train with DATASET.HOLD_OUT.GROUP folder",
        ),
        (
            ("training_set/a", "training_set/b", "test_set/a"),
            "{photos} holds folders with the same subfolders, as splits have: test_set, training_set with a; splits "
            "are named train, val and test; to use one folder only, name it: {photos}/training_set; if the folders are "
            "classes, list their images in a .csv file, or train with DATASET.HOLD_OUT.GROUP folder",
        ),
        (
            ("fold1/a", "fold1/b", "fold2/a", "fold2/b"),
            "{photos} holds folders with the same subfolders, as splits have: fold1, fold2 with a, b; splits are named "
            "train, val and test; to use one folder only, name it: {photos}/fold1; if the folders are classes, list "
            "their images in a .csv file, or train with DATASET.HOLD_OUT.GROUP folder",
        ),
        (
            ("caf\u00e9", "cafe\u0301"),
            "{photos} holds two folders 'caf\u00e9', which differ in their Unicode form only",
        ),
    ],
)
def test_convert_folder_refuses_what_is_not_one_folder_per_class(
    refused: Any, class_folders: Any, tmp_path: Path, folders: Any, message: str
) -> None:
    root = class_folders("photos", dict.fromkeys(folders, 3))
    error = refused("convert_from_folder", *arguments(root, tmp_path))
    assert error == message.format(photos=root)


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "boat"),
        ("train/steam", "train/diesel", "boat/sail", "boat/motor"),
        ("train/new", "boat/new"),
        ("train", "train/new", "boat/new", "boat/old"),
        ("ant/old", "ant/new", "bee/old"),
    ],
)
def test_convert_folder_of_classes_with_subfolders(run: Any, class_folders: Any, tmp_path: Path, folders: Any) -> None:
    root = class_folders("photos", dict.fromkeys(folders, 3))
    run("convert_from_folder", *arguments(root, tmp_path))
    classes = tuple(sorted({folder.split("/")[0] for folder in folders}))
    assert read_annotations(tmp_path / "out/train.json").class_names == classes


def test_convert_folder_knows_classes_by_what_they_look_like(run: Any, class_folders: Any, tmp_path: Path) -> None:
    class_folders("photos/train", {"cafe\u0301": 2, "b": 1})
    class_folders("photos/val", {"caf\u00e9": 1, "b": 1})
    run("convert_from_folder", *arguments(tmp_path / "photos", tmp_path))
    assert read_annotations(tmp_path / "out/valid.json").labels == [0, 1]
    assert read_annotations(tmp_path / "out/train.json").class_names == ("b", "caf\u00e9")


def test_convert_folder_counts_images_outside_the_classes(run: Any, class_folders: Any, tmp_path: Path) -> None:
    root = class_folders("photos", {"a": 2, "b": 1})
    for number in range(3):
        (root / f"{number}.png").touch()
    output = run("convert_from_folder", *arguments(root, tmp_path))
    assert "skipped: 3 x image outside the class folders" in output
