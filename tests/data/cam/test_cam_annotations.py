"""Tests of appending generated images: in memory and on disk, from own and released lists."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.cam.annotations import append_generated, check_generated
from longtail.data.dataset import ImageSet
from longtail.data.images.bad_images import BadImages
from longtail.data.images.files import ImageFiles, ReadOptions
from longtail.errors import UserError


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    """Return a function that writes images of one color and their annotation file."""

    def write(colors: Any, labels: Any, size: Any = (8, 8), num_classes: Any = 3, name: Any = "made") -> Any:
        folder = tmp_path / name
        folder.mkdir()
        entries = []
        for color, label in zip(colors, labels, strict=True):
            Image.new("RGB", size[::-1], (color, 0, 0)).save(folder / f"{color}.png")
            entries.append({"fpath": f"{name}/{color}.png", "category_id": label})
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"annotations": entries, "num_classes": num_classes}))
        return str(path)

    return write


@pytest.fixture
def originals() -> Any:
    return ImageSet.from_tensor("set", torch.zeros(4, 3, 8, 8, dtype=torch.uint8), labels=[0, 0, 1, 2], num_classes=3)


def test_append_generated_in_memory(originals: Any, listed: Any) -> None:
    images = append_generated(originals, listed([10, 20], [2, 1]))
    assert (len(images), images.num_original, images.num_generated) == (6, 4, 2)
    assert images.labels.tolist() == [0, 0, 1, 2, 2, 1]
    assert images.class_counts() == [2, 1, 1]
    pixels: Any = images.load()
    assert pixels[:, 0, 0, 0].tolist() == [0, 0, 0, 0, 10, 20]


def test_append_generated_skips_bad_images(originals: Any, listed: Any, tmp_path: Path) -> None:
    """A bad image is replaced by the next one of its class: generated, or else original."""
    path = listed([10, 20, 30], [2, 1, 1])
    (tmp_path / "made/10.png").unlink()
    (tmp_path / "made/20.png").write_bytes(b"")
    bad_images = BadImages(2)
    images = append_generated(replace(originals, read_options=ReadOptions(bad_images)), path)
    pixels: Any = images.load()
    assert pixels[:, 0, 0, 0].tolist() == [0, 0, 0, 0, 0, 30, 30]
    assert sorted(bad_images.files) == [str(tmp_path / "made/10.png"), str(tmp_path / "made/20.png")]
    with pytest.raises(UserError, match=r"10\.png does not exist$"):
        append_generated(originals, path).load()
    with pytest.raises(UserError, match=r"more image files cannot be read than DATASET\.BAD_IMAGE_LIMIT \(1\) allows"):
        append_generated(replace(originals, read_options=ReadOptions(BadImages(1))), path).load()


def test_append_generated_files(listed: Any, tmp_path: Path) -> None:
    Image.new("RGB", (70, 70), (5, 0, 0)).save(tmp_path / "own.png")
    own = ImageSet.from_files("set", [str(tmp_path / "own.png")] * 2, labels=[0, 1], num_classes=2)
    images = append_generated(own, listed([10], [1], (9, 12), 2))
    files = images.load()
    assert isinstance(files, ImageFiles)
    assert len(files) == 3 and files[2].shape == (3, 9, 12) and files[2][0, 0, 0] == 10
    assert len(images.paths) == 3
    (tmp_path / "made" / "10.png").unlink()
    with pytest.raises(UserError, match=r"set: 1 of 3 image files do not exist, the first is .*10\.png"):
        append_generated(own, str(tmp_path / "made.json")).load()


def test_append_generated_fingerprint(originals: Any, listed: Any, tmp_path: Path) -> None:
    first = append_generated(originals, listed([10, 20], [2, 1], name="one"))
    other = append_generated(originals, listed([10, 21], [2, 1], name="other"))
    prints = {originals.fingerprint(), first.fingerprint(), other.fingerprint()}
    names = [str(tmp_path / f"{name}.png") for name in "abcd"]
    for name in names:
        Image.new("RGB", (8, 8)).save(name)
    files = ImageSet.from_files("set", names, labels=[0, 0, 1, 2], num_classes=3)
    prints |= {files.fingerprint(), append_generated(files, str(tmp_path / "one.json")).fingerprint()}
    made = append_generated(files, str(tmp_path / "one.json")).paths
    prints.add(
        ImageSet.from_files("set", made, labels=[0, 0, 1, 2, 2, 1], num_classes=3).fingerprint()
    )  # the same files, all original
    assert len(prints) == 6


@pytest.mark.parametrize("base", ["working directory", "folder of the list", "absolute"])
def test_append_generated_released_list(
    originals: Any, listed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Any
) -> None:
    entries = json.loads(Path(listed([10, 20], [2, 1])).read_text())["annotations"]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    if base == "working directory":
        monkeypatch.chdir(tmp_path)
        path = folder / "list.json"
    else:
        path = tmp_path / "list.json"
    prefix = f"{tmp_path}{os.sep}" if base == "absolute" else ""
    released = [
        {"fpath": prefix + entry["fpath"], "im_height": 8, "im_width": 8, "im_shape": [8, 8, 3]}
        | {"category_id": entry["category_id"]}
        for entry in entries
    ]
    path.write_text(json.dumps(released))
    images = append_generated(originals, str(path))
    assert images.labels.tolist()[-2:] == [2, 1]
    pixels: Any = images.load()
    assert pixels[-2:, 0, 0, 0].tolist() == [10, 20]


def test_append_generated_invalid_list(originals: Any, listed: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json does not exist; DATASET\.GENERATE_CAM_BASED_DATASET True"):
        append_generated(originals, str(tmp_path / "nowhere.json"))
    with pytest.raises(UserError, match=r"has 4 classes, the training images have 3"):
        append_generated(originals, listed([1], [0], num_classes=4, name="four"))
    with pytest.raises(UserError, match=r"images must have the size of the training images, 8x8"):
        append_generated(originals, listed([1], [0], (8, 9), name="wide")).load()
    path = tmp_path / "list.json"
    for content, message in (("[]", "lists no images"), ('[{"fpath": "a", "category_id": 3}]', "allowed: 0 to 2")):
        path.write_text(content)
        with pytest.raises(UserError, match=message):
            append_generated(originals, str(path))


def used(path: Any, *overrides: Any) -> Any:
    return ["DATASET.USE_CAM_BASED_DATASET", True, "DATASET.CAM_DATA_JSON_SAVE_PATH", path, *overrides]


@pytest.mark.parametrize("dataset", ["annotations", "digits_lt"])
def test_build_splits_with_generated_images(listed: Any, image_folder: Callable[..., str], dataset: Any) -> None:
    size, classes = ((32, 32), 10) if dataset == "digits_lt" else ((8, 8), 3)
    keys = ["DATASET.DATASET", dataset]
    if dataset == "annotations":
        keys += ["DATASET.TRAIN_JSON", image_folder("train", [0, 1, 2], 3)]
        keys += ["DATASET.VALID_JSON", image_folder("valid", [0], 3)]
    cfg = load_config(
        None,
        [
            *(*keys, *used(listed([10, 20], [2, 1], size, classes)), "TRAIN.SAMPLER.TYPE", "weighted sampler"),
        ],
    )
    splits = build_splits(cfg)
    assert splits.train.num_generated == 2 and splits.valid.num_generated == 0
    assert build_splits(cfg, generated=False).train.num_generated == 0

    assert splits.train.labels[-2:].tolist() == [2, 1]
    pixels: Any = splits.train.load()
    assert pixels[-2:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (used("x.json"), "TRAIN.SAMPLER.TYPE 'default' draws original images only; 'weighted sampler' draws"),
        (used(""), "DATASET.CAM_DATA_JSON_SAVE_PATH must name the annotation file of"),
        (used("x.json", "DATASET.GENERATE_CAM_BASED_DATASET", True), "NETWORK.PRETRAINED must be True"),
        (
            [
                *used("x.json", "DATASET.GENERATE_CAM_BASED_DATASET", True, "DATASET.CAM_DATA_SAVE_PATH", "x"),
                *("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", "x.pth"),
            ],
            "are both True",
        ),
    ],
)
def test_check_generated_contradicting_keys(overrides: Any, message: Any) -> None:
    with pytest.raises(UserError, match=message):
        check_generated(load_config(None, overrides))


def test_check_generated_ncl_sampler() -> None:
    check_generated(load_config(None, used("x.json", "TRAIN.SAMPLER.MULTI_NETWORK_TYPE", ["weighted_balance"])))
