"""Packing as pixels: content, resuming, verification, loading, errors."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.cli.main import main
from longtail.data import build_loaders, build_splits
from longtail.data.cam.annotations import append_generated
from longtail.data.images.packed import PackedFiles
from longtail.data.images.packed_folder import packed_keys
from longtail.data.pack import Settings, pack
from longtail.data.pack.work import copy_of
from longtail.errors import UserError
from tests.helpers.photographs import listed_config, write_photographs

UINT8 = Settings(side=64, format="uint8")


def packed(folder: Path, number: int = 4) -> dict[str, Path]:
    return pack(listed_config(write_photographs(folder, number)), folder / "packed", UINT8)


def copies(file: Path) -> PackedFiles:
    images = build_splits(listed_config(file)).train.load()
    assert isinstance(images, PackedFiles)
    return images


def test_packed_files_hold_the_resized_pixels(tmp_path: Path) -> None:
    files = packed(tmp_path)
    images = copies(files["train"])
    assert [tuple(images[number].shape) for number in range(4)] == [
        (3, 64, 85),
        (3, 108, 64),
        (3, 72, 64),
        (3, 48, 100),
    ]
    for number in range(4):
        expected = np.asarray(copy_of(tmp_path / f"{number}.jpg", 64))
        assert images[number].permute(1, 2, 0).numpy().tobytes() == expected.tobytes()
    assert images.sizes() == [images[number].numel() for number in range(4)]
    assert (tmp_path / "packed" / "train.pixels").stat().st_size == sum(images.sizes())
    assert images.read(2)[0].equal(images[2])


def test_packed_files_are_not_changed_by_writing_to_an_image(tmp_path: Path) -> None:
    files = packed(tmp_path)
    copies(files["train"])[0].zero_()
    assert copies(files["train"])[0].any()


def test_pixels_that_are_lost_after_the_start_are_reported_in_one_line(tmp_path: Path) -> None:
    files = packed(tmp_path)
    images = copies(files["train"])
    pixels = files["train"].with_suffix(".pixels")
    pixels.unlink()
    with pytest.raises(UserError, match=f"^packed images {pixels} does not exist$"):
        images[0]


def test_packed_files_pickle_without_the_pixels(tmp_path: Path) -> None:
    images = copies(packed(tmp_path)["train"])
    first = images[0].clone()
    content = pickle.dumps(images)
    assert len(content) < 5000
    assert pickle.loads(content)[0].equal(first)


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["pillow", "fast"])
def test_packed_files_train(tmp_path: Path, loader: str) -> None:
    files = packed(tmp_path, 8)
    words: list[Any] = ["INPUT_SIZE", [32, 32], "DATASET.VIEWS", ("randaugment",), "DATASET.TEST_VIEW", "transforms"]
    words += ["DATASET.LOADER", loader, "TRAIN.BATCH_SIZE", 4, "TRAIN.NUM_WORKERS", 1, "TEST.NUM_WORKERS", 0]
    loaders = build_loaders(listed_config(files["train"], *words))
    batches = list(loaders.train.epoch(1))
    assert [tuple(batch.images.shape) for batch in batches] == [(1, 4, 3, 32, 32)] * 2
    assert torch.cat([batch.indices for batch in batches]).sort().values.tolist() == list(range(8))
    assert sum(len(batch.labels) for batch in loaders.valid.epoch(1)) == 8


def test_pack_pixels_continues_and_replaces_damaged_images(tmp_path: Path) -> None:
    file = packed(tmp_path)["train"]
    pixels, checks = file.with_suffix(".pixels"), file.with_suffix(".crc32")
    before, known = pixels.read_bytes(), np.fromfile(checks, np.int64)
    damaged = np.frombuffer(before, np.uint8).copy()
    start = json.loads(file.read_text())["annotations"][1]["offset"]
    damaged[start + 5] ^= 1  # a flipped bit in the second image
    damaged[-48 * 100 * 3 :] = 0
    damaged.tofile(pixels)
    np.where(np.arange(4) == 3, -1, known).tofile(checks)  # the last image was not written yet
    file.unlink()
    packed(tmp_path)
    assert pixels.read_bytes() == before
    assert np.fromfile(checks, np.int64).tolist() == known.tolist()
    assert file.exists()


def test_pack_pixels_reads_no_image_that_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed(tmp_path)

    def fail(*_: Any) -> Any:
        raise AssertionError("a complete copy was made again")

    monkeypatch.setattr("longtail.data.pack.pixels.copy_of", fail)
    pack(listed_config(tmp_path / "all.json"), tmp_path / "packed", UINT8)


def test_packed_pixels_that_are_too_short_are_refused(tmp_path: Path) -> None:
    file = packed(tmp_path)["train"]
    with open(file.with_suffix(".pixels"), "ab") as pixels:
        pixels.truncate(100)
    with pytest.raises(UserError, match="have 100 bytes"):
        build_splits(listed_config(file))


@pytest.mark.parametrize("value", [None, "3", -1])
def test_packed_pixels_need_a_place(tmp_path: Path, value: Any) -> None:
    file = packed(tmp_path)["train"]
    content = json.loads(file.read_text())
    content["annotations"][2]["offset"] = value
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="outside them" if value == -1 else "annotation 2 needs whole numbers"):
        build_splits(listed_config(file))


def test_pack_refuses_packed_images_and_other_formats(tmp_path: Path) -> None:
    files = packed(tmp_path)
    with pytest.raises(UserError, match="already packed"):
        pack(listed_config(files["train"]), tmp_path / "again", UINT8)
    with pytest.raises(UserError, match="other values of quality, format"):
        pack(listed_config(tmp_path / "all.json"), tmp_path / "packed", Settings(side=64))


def test_packed_files_take_no_generated_images(tmp_path: Path) -> None:
    file = packed(tmp_path)["train"]
    with pytest.raises(UserError, match="packed pixels"):
        append_generated(build_splits(listed_config(file)).train, str(tmp_path / "all.json"))


def test_pack_command_writes_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = str(write_photographs(tmp_path))
    words = ["pack", "digits_lt,ce", "--folder", str(tmp_path / "packed"), "--side", "64", "--format"]
    data = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", annotations, "DATASET.VALID_JSON", annotations]
    assert main([*words, "uint8", *data]) == 0
    assert " ".join(packed_keys({"train": tmp_path / "packed" / "train.json"})[:2]) in capsys.readouterr().out
    assert main([*words, "png", *data]) == 2
    assert "--format is 'png'; allowed: jpeg, uint8" in capsys.readouterr().err
