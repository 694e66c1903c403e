"""Tests of the converter of split lists."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.data.annotations import read_annotations
from longtail.data.convert.lists import read_list


@pytest.fixture
def lists(tmp_path: Path) -> Any:
    """Write all split lists for two images that exist; return the folder of the lists."""
    images = tmp_path / "images" / "with space"
    images.mkdir(parents=True)
    for name in ("a 1.JPEG", "b.JPEG"):
        (images / name).write_bytes(b"")
    folder = tmp_path / "lists"
    folder.mkdir()
    for stem in ("ImageNet_LT", "Places_LT"):
        for split in ("train", "val", "test"):
            (folder / f"{stem}_{split}.txt").write_text("with space/a 1.JPEG 0\n\nwith space/b.JPEG 364\n")
    return folder


def arguments(lists: Any, tmp_path: Path, *options: Any) -> Any:
    return "--input_path", lists, "--image_path", tmp_path / "images", "--output_path", tmp_path / "out", *options


@pytest.mark.parametrize(("tool", "classes"), [("ImageNet", 1000), ("Places", 365)])
def test_convert_lists(run: Any, content: Any, lists: Any, tmp_path: Path, tool: Any, classes: Any) -> None:
    output = run(f"convert_from_{tool}", *arguments(lists, tmp_path))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.json", "train.json", "valid.json"]
    assert content(tmp_path / "out" / "valid.json") == {
        "version": 1,
        "num_classes": classes,
        "annotations": [
            {"image_id": 0, "fpath": str(tmp_path / "images/with space/a 1.JPEG"), "category_id": 0},
            {"image_id": 1, "fpath": str(tmp_path / "images/with space/b.JPEG"), "category_id": 364},
        ],
    }
    assert f"2 images, {classes:,} classes, 1 to 0 images per class, imbalance factor infinite" in output
    assert "WARNING: the numbers differ from those published. " in output
    assert f"WARNING: {classes - 2} of {classes} classes have no images: 1, 2, " in output


def test_convert_lists_relative_paths(run: Any, lists: Any, tmp_path: Path) -> None:
    run("convert_from_ImageNet", "--input_path", lists, "--image_path", tmp_path / "images", "--output_path", tmp_path)
    listed = json.loads((tmp_path / "train.json").read_text())["annotations"]
    assert [entry["fpath"] for entry in listed] == ["images/with space/a 1.JPEG", "images/with space/b.JPEG"]
    assert read_annotations(tmp_path / "train.json").paths[1] == str(tmp_path / "images/with space/b.JPEG")


def test_convert_lists_missing_list(run: Any, lists: Any, tmp_path: Path) -> None:
    (lists / "ImageNet_LT_train.txt").unlink()
    output = run("convert_from_ImageNet", *arguments(lists, tmp_path))
    assert f"{lists}/ImageNet_LT_train.txt does not exist: no train.json" in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.json", "valid.json"]


def test_convert_lists_no_lists(refused: Any, tmp_path: Path) -> None:
    error = refused("convert_from_Places", *arguments(tmp_path, tmp_path))
    assert error == (
        f"{tmp_path} holds none of Places_LT_train.txt, Places_LT_val.txt, Places_LT_test.txt; for your own lists: "
        "python tools/convert_from_lists.py --help"
    )


def test_convert_lists_force(run: Any, refused: Any, lists: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/valid.json").write_text("mine")
    error = refused("convert_from_ImageNet", *arguments(lists, tmp_path))
    assert error == f"{tmp_path}/out/valid.json exists; --force replaces it"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["valid.json"]
    run("convert_from_ImageNet", *arguments(lists, tmp_path, "--force"))
    assert read_annotations(tmp_path / "out/valid.json").labels == [0, 364]


def test_convert_lists_missing_images(run: Any, refused: Any, lists: Any, tmp_path: Path) -> None:
    lines = [f"with space/{number}.JPEG 1" for number in range(2500)]
    (lists / "ImageNet_LT_val.txt").write_text("\n".join([*lines, "with space/b.JPEG 0"]))
    error = refused("convert_from_ImageNet", *arguments(lists, tmp_path)).splitlines()
    assert error[0] == (
        f"{lists}/ImageNet_LT_val.txt: 2,500 of 2,501 images do not exist (--no-check skips this check), the first 10:"
    )
    assert error[1:] == [f"  image {tmp_path}/images/with space/{number}.JPEG does not exist" for number in range(10)]
    assert not (tmp_path / "out").exists()
    run("convert_from_ImageNet", *arguments(lists, tmp_path, "--no-check"))


def test_convert_lists_one_missing_image(refused: Any, lists: Any, tmp_path: Path) -> None:
    (lists / "ImageNet_LT_val.txt").write_text("gone.JPEG 0\nwith space/b.JPEG 0")
    error = refused("convert_from_ImageNet", *arguments(lists, tmp_path))
    assert error == f"{lists}/ImageNet_LT_val.txt: image {tmp_path}/images/gone.JPEG does not exist"


@pytest.mark.parametrize("line", ["a.JPEG", "a.JPEG -1", "a.JPEG 1000", "a.JPEG x", "a.JPEG 1.0", "a.JPEG,3"])
def test_read_list_invalid_line(refused: Any, lists: Any, tmp_path: Path, line: Any) -> None:
    (lists / "ImageNet_LT_test.txt").write_text(f"a.JPEG 0\n{line}\n")
    error = refused("convert_from_ImageNet", *arguments(lists, tmp_path, "--no-check"))
    expected = f"line 2 is {line!r}; expected: path label, label 0 to 999"
    assert error == f"split list {lists}/ImageNet_LT_test.txt: {expected}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "message"), [(b"\n", "lists no images"), (b"\xff", "is not UTF-8 text: byte 0 is invalid")]
)
def test_read_list_invalid_file(refused: Any, lists: Any, tmp_path: Path, data: Any, message: Any) -> None:
    (lists / "ImageNet_LT_test.txt").write_bytes(data)
    assert message in refused("convert_from_ImageNet", *arguments(lists, tmp_path, "--no-check"))


def test_read_list_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.JPEG 3\r\nb.JPEG 0\r\n")
    split = read_list(tmp_path / "list.txt", "root", num_classes=4)
    assert (split.paths, split.labels) == (["root/a.JPEG", "root/b.JPEG"], [3, 0])


def test_convert_lists_unwritable_output(refused: Any, lists: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    error = refused("convert_from_ImageNet", *arguments(lists, tmp_path))
    assert error == f"annotation file {tmp_path}/out cannot be written: File exists"


# ------------------------------------------------------------------ the published files


@pytest.mark.slow
def test_convert_lists_imagenet_lt_published_numbers(run: Any, splits: Any, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    for split in ("val", "test"):
        (folder / f"ImageNet_LT_{split}.txt").symlink_to(splits / f"ImageNet_LT_{split}.txt")
    shots = np.load(splits / "ImageNet_LT_num_shots.npz")["num_per_class"].astype(int)
    lines = [f"train/{label}/{number}.JPEG {label}\n" for label, n in enumerate(shots) for number in range(n)]
    (folder / "ImageNet_LT_train.txt").write_text("".join(lines))  # the published list is not available
    output = run("convert_from_ImageNet", *arguments(folder, tmp_path, "--no-check"))
    assert "115,846 images, 1,000 classes, 1,280 to 5 images per class, imbalance factor 256, " in output
    many, few = (shots >= 100).sum(), (shots <= 20).sum()
    assert f"{many} many / {1000 - many - few} medium / {few} few-shot classes" in output
    assert "20,000 images, 1,000 classes, 20 images per class (balanced)" in output
    assert "50,000 images, 1,000 classes, 50 images per class (balanced)" in output
    assert output.count("the numbers are those published for ImageNet-LT") == 3
    assert "WARNING" not in output
    read = read_annotations(tmp_path / "out/test.json")
    assert read.paths[0] == f"{tmp_path}/images/val/ILSVRC2012_val_00029930.JPEG"
    assert len(read.labels) == 50_000


def test_convert_lists_places_lt_published_numbers(run: Any, splits: Any, content: Any, tmp_path: Path) -> None:
    listed = content(splits / "Places_LT_val.json")["annotations"]
    root = "/media/ssd2/lijun/data/places365_standard/"
    lines = [f"{entry['fpath'].removeprefix(root)} {entry['category_id']}\n" for entry in listed]
    (tmp_path / "Places_LT_val.txt").write_text("".join(lines))
    output = run("convert_from_Places", *arguments(tmp_path, tmp_path, "--no-check"))
    assert "7,300 images, 365 classes, 20 images per class (balanced)" in output
    assert "the numbers are those published for Places-LT val" in output
    assert read_annotations(tmp_path / "out/valid.json").labels == [entry["category_id"] for entry in listed]


@pytest.mark.slow
def test_convert_lists_shortened_list(run: Any, splits: Any, tmp_path: Path) -> None:
    lines = (splits / "ImageNet_LT_val.txt").read_text().splitlines()
    (tmp_path / "ImageNet_LT_val.txt").write_text("\n".join(lines[:-3]))
    output = run("convert_from_ImageNet", *arguments(tmp_path, tmp_path, "--no-check"))
    assert (
        "WARNING: the numbers differ from those published. ImageNet-LT val: 19,997 images instead of 20,000, "
        "17 images in the smallest class instead of 20"
    ) in output
