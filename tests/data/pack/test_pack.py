"""Packing of a data set at a smaller size: content, resuming, errors."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from yacs.config import CfgNode

from longtail.cli.main import main
from longtail.config import changed, load_config
from longtail.data import build_loaders, build_splits
from longtail.data.annotations import read_annotations
from longtail.data.images.reading import read_pixels
from longtail.data.pack import Settings, pack
from longtail.errors import UserError
from tests.helpers.photographs import jpeg, listed_config, photograph, write_photographs


@pytest.mark.slow
def test_pack_writes_smaller_copies_and_their_annotations(tmp_path: Path) -> None:
    files = pack(listed_config(write_photographs(tmp_path)), tmp_path / "packed", Settings(side=64))
    assert sorted(files) == ["train", "valid"]
    content = json.loads(files["train"].read_text())
    assert content["class_names"] == ["a", "b"]
    assert [entry["image_id"] for entry in content["annotations"]] == [7, 8, 9, 10]
    sizes = [(entry["im_height"], entry["im_width"]) for entry in content["annotations"]]
    assert sizes == [(64, 85), (108, 64), (72, 64), (48, 100)]  # the last is small enough
    for entry, size in zip(content["annotations"], sizes, strict=True):
        assert read_pixels(files["train"].parent / entry["fpath"]).shape[:2] == size


@pytest.mark.slow
def test_pack_keeps_the_content(tmp_path: Path) -> None:
    files = pack(listed_config(write_photographs(tmp_path)), tmp_path / "packed", Settings(side=64))
    copy = read_pixels(files["train"].parent / "train/00000/000.jpg").astype(int)
    expected = Image.fromarray(read_pixels(tmp_path / "0.jpg")).resize((85, 64), Image.Resampling.BICUBIC)
    apart = (copy - np.asarray(expected).astype(int)).mean(axis=2)  # JPEG stores colors at half the resolution
    assert np.abs(apart).mean() < 3


def test_packed_annotations_are_a_data_set(tmp_path: Path) -> None:
    files = pack(listed_config(write_photographs(tmp_path)), tmp_path / "packed", Settings(side=70))
    splits = build_splits(listed_config(files["train"]))
    assert splits.train.labels.tolist() == [0, 1, 0, 1]
    assert splits.train.load()[0].shape == (3, 70, 93)


def test_pack_continues_and_replaces_damaged_copies(tmp_path: Path) -> None:
    cfg = listed_config(write_photographs(tmp_path))
    files = pack(cfg, tmp_path / "packed", Settings(side=64))
    copies = [tmp_path / "packed" / f"train/00000/00{number}.jpg" for number in range(3)]
    before = [copy.read_bytes() for copy in copies]
    kept = copies[0].stat().st_mtime_ns
    copies[1].unlink()
    copies[2].write_bytes(before[2][:100])
    files["train"].unlink()
    pack(cfg, tmp_path / "packed", Settings(side=64))
    assert [copy.read_bytes() for copy in copies] == before
    assert copies[0].stat().st_mtime_ns == kept
    assert files["train"].exists()


@pytest.mark.slow
def test_pack_continues_after_kill(tmp_path: Path) -> None:
    annotations = write_photographs(tmp_path, 600)
    folder = tmp_path / "packed"
    words = ["pack", "digits_lt,ce", "--folder", str(folder), "--side", "64", "DATASET.DATASET", "annotations"]
    words += ["DATASET.TRAIN_JSON", str(annotations), "DATASET.VALID_JSON", str(annotations)]
    process = subprocess.Popen([sys.executable, "-m", "longtail", *words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(folder.rglob("*.jpg"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 20 <= len(list(folder.rglob("*.jpg"))) < 1200
    assert not (folder / "valid.json").exists()
    assert main(words) == 0
    for split in ("train", "valid"):
        entries = json.loads((folder / f"{split}.json").read_text())["annotations"]
        assert len(entries) == 600
        for entry in entries:
            assert read_pixels(folder / entry["fpath"]).shape[:2] == (entry["im_height"], entry["im_width"])


def class_folders(root: Path) -> Path:
    """Write five photographs of each of two classes into folders of their names."""
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            (root / name / f"{number}.jpg").write_bytes(jpeg(photograph(90, 120, seed=number)))
    return root


@pytest.mark.parametrize("kind", ["jpeg", "uint8"])
def test_pack_of_own_images_prints_the_command_that_trains_on_them(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root, folder = class_folders(tmp_path / "photos"), tmp_path / "packed"
    words = ["pack", str(root), "--folder", str(folder), "--side", "64", "--format", kind]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("to train on the copies: longtail train own,balanced_softmax ")
    source, *overrides = shlex.split(last.split("longtail train ")[1])
    splits, original = build_splits(load_config(source, overrides)), build_splits(own_config(root))
    for copy, own in ((splits.train, original.train), (splits.valid, original.valid)):
        assert copy.labels.tolist() == own.labels.tolist()
        assert copy.class_names == ("ant", "bee")
        images = copy.load()
        assert {images[index].shape for index in range(len(copy))} == {(3, 64, 85)}
    assert main(words) == 0  # the same images: nothing to do
    (root / "bee" / "5.jpg").write_bytes((root / "bee" / "4.jpg").read_bytes())
    assert main(words) == 2
    assert "holds images packed with other values of sources" in capsys.readouterr().err


def own_config(root: Path) -> CfgNode:
    return load_config("own,balanced_softmax", ["DATASET.ROOT", str(root)])


def test_pack_of_own_images_and_a_list_packs_what_is_trained_on(tmp_path: Path) -> None:
    """The paths of a list are relative to it, as in a training, not to the folder of the own images."""
    root = class_folders(tmp_path / "photos")
    content = {"annotations": [{"fpath": "photos/ant/0.jpg", "category_id": 0}], "num_classes": 2}
    (tmp_path / "valid.json").write_text(json.dumps(content))
    cfg = changed(own_config(root), "DATASET.VALID_JSON", str(tmp_path / "valid.json"))
    files = pack(cfg, tmp_path / "packed", Settings(side=64))
    assert [len(read_annotations(files[split]).paths) for split in ("train", "valid")] == [10, 1]
    with pytest.raises(UserError, match=r"FOLDS is 2, but DATASET\.VALID_JSON names the validation images"):
        pack(changed(cfg, "DATASET.HOLD_OUT.FOLDS", 2), tmp_path / "other", Settings(side=64))


def test_packed_images_are_not_taken_for_class_folders(tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    pack(own_config(class_folders(tmp_path / "photos")), folder, Settings(side=64))
    with pytest.raises(UserError, match=r"holds packed images; to train on them: longtail train ") as refused:
        build_splits(own_config(folder))
    config, *overrides = shlex.split(str(refused.value).partition("longtail train ")[2])
    assert f"{folder}/valid.json" in overrides and f"{folder}/test.json" not in overrides
    loaders = build_loaders(load_config(config, [*overrides, "TRAIN.NUM_WORKERS", "0"]))
    assert loaders.train.batch_size == 2 and len(loaders.train.labels) == 8
    (folder / "train.json").unlink()
    with pytest.raises(UserError, match="packed images, but not all: run the same longtail pack command again"):
        build_splits(own_config(folder))


def test_pack_refuses_a_folder_of_another_size(tmp_path: Path) -> None:
    cfg = listed_config(write_photographs(tmp_path))
    pack(cfg, tmp_path / "packed", Settings(side=64))
    with pytest.raises(UserError, match="packed with other values of side"):
        pack(cfg, tmp_path / "packed", Settings(side=65))


@pytest.mark.parametrize("name", ["", "packed"])
def test_pack_refuses_a_folder_among_its_images(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = class_folders(tmp_path / "photos")
    assert main(["pack", str(root), "--folder", str(root / name)]) == 2
    assert capsys.readouterr().err == (
        f"error: --folder {root / name} is inside the folder of the images, {root}; use one outside of it\n"
    )
    assert sorted(path.name for path in root.iterdir()) == ["ant", "bee"]


def test_pack_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    listed = write_photographs(tmp_path)
    before = listed.rename(tmp_path / "train.json").read_bytes()
    with pytest.raises(UserError, match=r"--folder .* holds other files; use an empty folder"):
        pack(listed_config(tmp_path / "train.json"), tmp_path, Settings(side=64))
    assert (tmp_path / "train.json").read_bytes() == before


def test_pack_refuses_data_without_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'digits_lt' has no image files"):
        pack(load_config("digits_lt,ce"), tmp_path, Settings())


def test_pack_refuses_own_images_without_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"DATASET\.ROOT is empty; data set 'own' needs a folder"):
        pack(load_config("own,ce_r10"), tmp_path, Settings())


def test_pack_names_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    cfg = listed_config(write_photographs(tmp_path))
    (tmp_path / "2.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(UserError, match=r"2\.jpg cannot be read"):
        pack(cfg, tmp_path / "packed", Settings(side=64))
    assert not (tmp_path / "packed" / "train.json").exists()


@pytest.mark.parametrize("option", [("--side", "0"), ("--quality", "101")])
def test_pack_command_refuses_numbers_out_of_range(
    tmp_path: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", "digits_lt,ce", "--folder", str(tmp_path), *option]) == 2
    assert "allowed: 1 to" in capsys.readouterr().err
