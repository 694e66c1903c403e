"""Tests of image files kept in memory (DATASET.CACHE ram)."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batch_comparison import same

from longtail.config import load_config
from longtail.data import build_loaders
from longtail.data.images import memory
from longtail.data.images.files import ImageFiles
from longtail.data.images.memory import MemoryFiles, check_memory, machine_memory
from longtail.data.loaders import MemoryLoader
from longtail.errors import UserError


@pytest.fixture
def loaders(image_folder: Callable[..., str]) -> Any:
    train = image_folder("train", [0, 1, 0, 1, 0, 1], 2, ((65, 70),))
    valid = image_folder("valid", [0, 1], 2, ((65, 70),))

    def build(*overrides: Any) -> Any:
        settings = [
            *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", train, "DATASET.VALID_JSON", valid),
            *("DATASET.VIEWS", ["crop_flip"], "TRAIN.BATCH_SIZE", 3, "TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0),
        ]
        return build_loaders(load_config(None, [*settings, *overrides]))

    return build


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_files_batches_without_file_access(loaders: Any, tmp_path: Path, workers: Any) -> None:
    expected = list(loaders().train.epoch(2))
    cached = loaders("DATASET.CACHE", "ram", "TRAIN.NUM_WORKERS", workers)
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    batches = list(cached.train.epoch(2))
    assert len(batches) == 2
    assert same(expected, batches)


def test_memory_files_logs_memory(loaders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "longtail"):
        loaders("DATASET.CACHE", "ram")
    size = sum(path.stat().st_size for path in (tmp_path / "train").iterdir())
    assert f"train.json: 6 image files take {size / 1e6:.1f} MB of memory, " in caplog.records[0].getMessage()


def test_memory_files_too_little_memory(loaders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: (1000, 10**9))
    monkeypatch.setattr(memory, "_read_into", lambda path, buffer: pytest.fail("read"))
    expected = (
        r"^.*train\.json: 6 image files take 0\.1 MB of memory, 0\.0 MB are free of 1\.0 GB; "
        r"DATASET\.CACHE none reads them from the disk$"
    )
    with pytest.raises(UserError, match=expected):
        loaders("DATASET.CACHE", "ram")


def test_check_memory_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: (60, 100))
    check_memory("set", 1, needed=50)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match="in each of 3 processes"):
        check_memory("set", 1, needed=50)


def test_machine_memory() -> None:
    free, total = machine_memory()
    assert 0 < free < total


def test_small_images_decoded_with_cache_ram(image_folder: Callable[..., str]) -> None:
    paths = [image_folder(split, [0, 1], 2) for split in ("train", "valid")]
    settings = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", paths[0], "DATASET.VALID_JSON", paths[1]]
    cfg = load_config(None, [*settings, "DATASET.VIEWS", ["none"], "TRAIN.BATCH_SIZE", 2, "DATASET.CACHE", "ram"])
    assert isinstance(build_loaders(cfg).train, MemoryLoader)


def test_memory_files_errors_equal_image_files(loaders: Any, tmp_path: Path) -> None:
    loaders()
    (tmp_path / "train" / "2.png").write_bytes(b"")
    (tmp_path / "train" / "3.png").write_bytes(b"no image")
    paths = [str(tmp_path / "train" / f"{number}.png") for number in range(6)]
    kept, files = MemoryFiles(paths, name="set"), ImageFiles(paths)
    for index in range(6):
        if index in (2, 3):
            messages = []
            for store in (kept, files):
                with pytest.raises(UserError) as error:
                    store[index]
                messages.append(str(error.value))
            assert messages[0] == messages[1]
        else:
            assert torch.equal(kept[index], files[index])


def test_memory_files_skip_bad_image(loaders: Any, tmp_path: Path) -> None:
    whole = loaders("DATASET.VIEWS", ["none"])
    (tmp_path / "train" / "2.png").write_bytes(b"")
    cached = loaders("DATASET.VIEWS", ["none"], "DATASET.CACHE", "ram", "DATASET.ON_BAD_IMAGE", "skip")
    images = {int(i): b.images[0, k] for b in whole_epoch(whole, tmp_path) for k, i in enumerate(b.indices)}
    for batch in cached.train.epoch(1):
        for k, index in enumerate(batch.indices.tolist()):
            assert torch.equal(batch.images[0, k], images[4 if index == 2 else index])
    assert cached.bad_images.summary()["bad_images"]["count"] == 1


def whole_epoch(loaders: Any, tmp_path: Path) -> Any:
    """Return an epoch of the valid files, with image 2 replaced by a copy of image 4."""
    (tmp_path / "train" / "2.png").write_bytes((tmp_path / "train" / "4.png").read_bytes())
    batches = list(loaders.train.epoch(1))
    (tmp_path / "train" / "2.png").write_bytes(b"")
    return batches
