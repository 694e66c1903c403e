"""Own images as a data source: folders of classes, folders of splits, and lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.config import load_config
from longtail.data import build_loaders, build_splits
from longtail.data.convert.own import configured_splits, fitting_settings
from longtail.data.loaders import Shard
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


def test_own_list_of_numbers_names_its_classes(tmp_path: Path) -> None:
    folders(tmp_path / "photos", {"a": 3})
    lines = [f"photos/a/{number}.png {label}" for number, label in enumerate((9, 3, 10))]
    (tmp_path / "images.txt").write_text("\n".join(lines))
    cfg = load_config(None, [*OWN, str(tmp_path / "images.txt"), "DATASET.HOLD_OUT.VALID", 0])
    assert configured_splits(cfg)["train"].classes == ["3", "9", "10"]


def test_own_folder_and_validation_images_of_a_file(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 4})
    (tmp_path / "v.json").write_text(
        '{"annotations": [{"fpath": "photos/a/0.png", "category_id": 0}], "num_classes": 2}'
    )
    read = splits(root, "DATASET.VALID_JSON", str(tmp_path / "v.json"))
    assert (read.train.class_counts(), len(read.valid)) == ([10, 4], 1)
    assert read.valid.paths == [str(root / "a" / "0.png")]


@pytest.mark.parametrize(
    ("counts", "overrides", "message"),
    [
        ({"a": 1, "b": 1}, [], "has no validation images, and DATASET.HOLD_OUT.VALID is 0.2"),
        ({"a": 9, "b": 9}, ["DATASET.HOLD_OUT.VALID", 1.5], "the number of validation images of each class is 1.5"),
        ({"a": 9}, ["DATASET.ROOT", "nowhere"], "folder nowhere does not exist"),
        ({"a": 9}, ["DATASET.ROOT", ""], "DATASET.ROOT is empty; data set 'own' needs a folder"),
    ],
)
def test_own_refuses(tmp_path: Path, counts: dict[str, int], overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        splits(folders(tmp_path / "photos", counts), *overrides)


def test_fitting_settings_keep_eight_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folders(tmp_path / "photos", {"a": 30, "b": 20})
    keys = ["TRAIN.BATCH_SIZE", 32, "TRAIN.OPTIMIZER.BASE_LR", 0.32]
    cfg = load_config(None, [*OWN, str(root), *keys])
    assert fitting_settings(cfg) == ["TRAIN.BATCH_SIZE", 5, "TRAIN.OPTIMIZER.BASE_LR", pytest.approx(0.05)]
    assert fitting_settings(load_config(None, [*OWN, str(root), "TRAIN.BATCH_SIZE", 4])) == []
    (root / "a" / "skipped.txt").touch()
    with caplog.at_level("INFO", "longtail"):
        fitting_settings(cfg)
        assert caplog.messages == []  # the training reads the images again, and then logs this
        configured_splits(cfg)
    assert caplog.messages == [f"{root}: skipped: 1 x .txt"]


@pytest.mark.parametrize("processes", [1, 2])
def test_too_few_images_for_a_step_name_the_keys_that_fit(tmp_path: Path, processes: int) -> None:
    root = folders(tmp_path / "photos", {"a": 12, "b": 12})
    shard = Shard(0, processes)
    own = ["DATASET.ROOT", str(root), "TRAIN.NUM_WORKERS", 0]
    with pytest.raises(
        UserError, match=r"train has 20 images, fewer than one step .* processes\); these keys fit: "
    ) as few:
        build_loaders(load_config("own,ce", own), shard=shard)
    keys = str(few.value).partition("fit: ")[2].split()
    assert keys == ["TRAIN.BATCH_SIZE", "2", "TRAIN.OPTIMIZER.BASE_LR", "0.003125"]
    batches = list(build_loaders(load_config("own,ce", [*own, *keys]), shard=shard).train.epoch(1))
    assert len(batches) == 10 // processes and len(batches[0].labels) == 2


def list_of(tmp_path: Path, header: str, *lines: str) -> Path:
    """Write a list of images, and the images that it names."""
    (tmp_path / "images.csv").write_text("\n".join(["path,label" + header, *lines]) + "\n")
    for number, line in enumerate(lines):
        path = tmp_path / line.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(path)
    return tmp_path / "images.csv"


def patients(read: Any) -> list[set[str]]:
    """Return the folders of the training and of the validation images."""
    return [{Path(path).parent.name for path in split.paths} for split in (read.train, read.valid)]


PATIENTS = [f"p{number % 7}/{number}.png,{'ab'[number % 2]}" for number in range(42)]


@pytest.mark.parametrize(
    ("header", "overrides"),
    [
        (",group", []),
        (",Patient", ["DATASET.HOLD_OUT.GROUP", "patient"]),
        ("", ["DATASET.HOLD_OUT.GROUP", "folder"]),
    ],
)
@pytest.mark.parametrize("folds", [[], ["DATASET.HOLD_OUT.FOLDS", 3, "DATASET.HOLD_OUT.FOLD", 2]])
def test_own_list_holds_out_whole_groups(tmp_path: Path, header: str, overrides: list[Any], folds: list[Any]) -> None:
    lines = [f"{line},{line.split('/')[0]}" if header else line for line in PATIENTS]
    train, valid = patients(splits(list_of(tmp_path, header, *lines), *overrides, *folds))
    assert train | valid == {f"p{number}" for number in range(7)}
    assert not train & valid and 1 <= len(valid) <= 3


def test_own_list_without_groups_holds_out_images(tmp_path: Path) -> None:
    lines = [f"{line},{line.split('/')[0]}" for line in PATIENTS]
    read = splits(list_of(tmp_path, ",group", *lines), "DATASET.HOLD_OUT.GROUP", "")
    train, valid = patients(read)
    assert len(train & valid) > 1
    assert read.valid.class_counts() == [4, 4]


def test_own_folder_of_classes_holds_out_whole_folders(tmp_path: Path) -> None:
    for name in "ab":
        folders(tmp_path / "photos" / name, {f"{name}{number}": 3 for number in range(5)})
    train, valid = patients(splits(tmp_path / "photos", "DATASET.HOLD_OUT.GROUP", "folder"))
    assert len(valid) == 2 and not train & valid and {name[0] for name in valid} == {"a", "b"}


def test_own_folder_of_classes_with_the_same_groups(tmp_path: Path) -> None:
    for name in "ab":
        folders(tmp_path / "photos" / name, dict.fromkeys(("east", "north", "south", "west"), 3))
    with pytest.raises(
        UserError, match=r"same subfolders, as splits have: a, b with east, north, south; .*GROUP folder"
    ):
        splits(tmp_path / "photos")
    assert splits(tmp_path / "photos", "DATASET.HOLD_OUT.GROUP", "folder").train.class_counts() == [9, 9]


def test_own_folder_of_splits_whose_classes_have_the_same_subfolders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in "ab":
            folders(tmp_path / "photos" / split / name, {"north": 2, "south": 2})
    read = splits(tmp_path / "photos")
    assert (read.class_names(), read.valid.class_counts()) == (["a", "b"], [4, 4])


def write_output(folder: Path, *marks: str) -> None:
    """Write what marks an output of this project, and a figure."""
    folders(folder, {"figures": 2})
    for mark in marks:
        (folder / mark).touch()


OUTPUTS = [
    ("output/photos/2026-01-31-12-00-00", ("config.yaml", "inputs.json")),
    ("results/ncl/stage/2026-01-31-12-00-00", ("config.yaml", "inputs.json")),
    ("output/photos/evaluation/2026-01-31-12-00-00", ("results.json", "samples.npz")),
    ("generated", ("generation.json",)),
    ("small", ("pack.json",)),
]


@pytest.mark.parametrize(("name", "marks"), OUTPUTS)
def test_own_folder_of_classes_without_outputs_in_it(
    tmp_path: Path, name: str, marks: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 3})
    before = splits(root)
    write_output(root / name, *marks)
    with caplog.at_level("INFO"):
        after = splits(root)
    assert after.train.paths == before.train.paths and after.valid.paths == before.valid.paths
    assert after.class_names() == ["a", "b"] and after.train.fingerprint() == before.train.fingerprint()
    assert f"skipped: 1 x folder of outputs ({name.split('/')[0]})" in caplog.text


def test_own_folder_of_splits_without_outputs_in_it(tmp_path: Path) -> None:
    for name in ("train", "val"):
        folders(tmp_path / "photos" / name, {"a": 3, "b": 2})
    write_output(tmp_path / "photos" / "output" / "photos" / "2026", "config.yaml", "inputs.json")
    read = splits(tmp_path / "photos")
    assert [len(read.train), len(read.valid)] == [5, 5]


def test_own_folder_of_outputs_through_a_link(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 3})
    write_output(tmp_path / "disk" / "photos" / "2026", "config.yaml", "inputs.json")
    (tmp_path / "disk" / "photos" / "here").symlink_to(tmp_path / "disk")
    (root / "output").symlink_to(tmp_path / "disk")
    assert splits(root).class_names() == ["a", "b"]


@pytest.mark.parametrize("name", ["b", "cafe\u0301"])
def test_own_folder_with_images_and_outputs_is_refused(tmp_path: Path, name: str) -> None:
    root = folders(tmp_path / "photos", {"a": 10, name: 3})
    write_output(root / name / "run", "config.yaml", "inputs.json")
    message = rf"photos/{name} holds images and an output of longtail, .*photos/{name}/run; move one"
    with pytest.raises(UserError, match=message):
        splits(root)


def test_own_class_with_a_config_is_no_output(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "output": 3})
    (root / "output" / "config.yaml").touch()
    assert splits(root).class_names() == ["a", "output"]


def test_own_folds_partition_a_folder_of_classes(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", {"a": 10, "b": 6})
    read = [splits(root, "DATASET.HOLD_OUT.FOLDS", 4, "DATASET.HOLD_OUT.FOLD", fold) for fold in (1, 2, 3, 4)]
    validated = [path for part in read for path in part.valid.paths]
    assert len(validated) == len(set(validated)) == 16
    assert {len(part.valid) for part in read} == {4}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["DATASET.HOLD_OUT.FOLDS", 3, "DATASET.HOLD_OUT.FOLD", 4], "fold 4 of 3 does not exist"),
        (["DATASET.HOLD_OUT.GROUP", "camera"], "DATASET.HOLD_OUT.GROUP is 'camera', but .* is a folder; allowed: 'fol"),
        (["DATASET.HOLD_OUT.GROUP", "folder"], "no group of images can be held out"),
    ],
)
def test_own_folder_refuses_groups_and_folds(tmp_path: Path, overrides: list[Any], message: str) -> None:
    root = folders(tmp_path / "photos", {"a": 9, "b": 9})
    with pytest.raises(UserError, match=message):
        splits(root, *overrides)


def test_own_folds_of_images_that_are_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val"):
        folders(tmp_path / "photos" / name, {"a": 3, "b": 2})
    message = r"^DATASET.HOLD_OUT.FOLDS is 3, but .* has validation images already; set it to 0$"
    with pytest.raises(UserError, match=message):
        splits(tmp_path / "photos", "DATASET.HOLD_OUT.FOLDS", 3)


def test_own_list_with_weights(tmp_path: Path) -> None:
    root = list_of(tmp_path, ",split,weight", "0.png,a,train,2", "1.png,b,train,", "2.png,a,val,9", "3.png,b,train,0.5")
    read = splits(root)
    assert read.train.weights.tolist() == [2, 1, 0.5]
    assert splits(list_of(tmp_path, ",split", "0.png,a,train", "1.png,b,val", "2.png,b,train")).train.weights is None


@pytest.mark.parametrize("weight", ["-1", "much", "inf", "nan"])
def test_own_list_refuses_wrong_weights(tmp_path: Path, weight: str) -> None:
    root = list_of(tmp_path, ",weight", f"0.png,a,{weight}", "1.png,b,1")
    with pytest.raises(
        UserError, match=rf"line 2 has weight '{weight}'; it must be a finite number that is not negative"
    ):
        splits(root)


def test_own_list_refuses_an_unknown_column(tmp_path: Path) -> None:
    root = list_of(tmp_path, ",patient", "0.png,a,x", "1.png,b,y")
    message = r"has no column 'pateint', which DATASET.HOLD_OUT.GROUP names; did you mean patient\?$"
    with pytest.raises(UserError, match=message):
        splits(root, "DATASET.HOLD_OUT.GROUP", "pateint")
