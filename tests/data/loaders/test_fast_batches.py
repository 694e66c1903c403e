"""DATASET.LOADER fast against pillow: the same samples, labels, crops and errors."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.data import build_loaders
from longtail.data.loaders import Loaders
from tests.helpers.photographs import jpeg, photograph


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Nine JPEG files of three classes; the fifth is CMYK."""
    entries = []
    for number in range(9):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(jpeg(photograph(90 + number, 120, seed=number), mode="CMYK" if number == 4 else "RGB"))
        entries.append({"fpath": str(path), "category_id": number % 3})
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"annotations": entries, "num_classes": 3}))
    return file


def loaders(annotations: Path, loader: str, *overrides: Any) -> Loaders:
    pairs = [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(annotations)),
        *("DATASET.VALID_JSON", str(annotations), "DATASET.VIEWS", ["regular", "randaugment"]),
        *("DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", [64, 64], "DATASET.LOADER", loader),
        *("TRAIN.BATCH_SIZE", 4, "TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0),
    ]
    return build_loaders(load_config(None, [*pairs, *overrides]))


@pytest.mark.slow
def test_fast_loader_has_the_samples_of_pillow(annotations: Path) -> None:
    ours, pillow = (loaders(annotations, name).train for name in ("fast", "pillow"))
    for epoch in (1, 2):
        for left, right in zip(ours.epoch(epoch), pillow.epoch(epoch), strict=True):
            assert left.images.shape == right.images.shape == (2, 4, 3, 64, 64)
            assert left.indices.equal(right.indices)
            assert left.labels.equal(right.labels)
            assert (left.images.int() - right.images.int()).abs().float().mean() <= 3


def test_fast_loader_evaluates_the_pixels_of_pillow(annotations: Path) -> None:
    ours, pillow = (loaders(annotations, name).valid for name in ("fast", "pillow"))
    for left, right in zip(ours.epoch(1), pillow.epoch(1), strict=True):
        assert left.images.equal(right.images)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("TRAIN.NUM_WORKERS", 2), ("DATASET.CACHE", "ram")])
def test_fast_loader_with_workers_and_from_memory(annotations: Path, overrides: tuple[Any, ...]) -> None:
    ours, other = loaders(annotations, "fast").train, loaders(annotations, "fast", *overrides).train
    for epoch in (1, 2):
        for left, right in zip(ours.epoch(epoch), other.epoch(epoch), strict=True):
            assert left.images.equal(right.images)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_fast_loader_logs_refused_files_once(annotations: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    train = loaders(annotations, "fast", "TRAIN.NUM_WORKERS", workers, "TRAIN.BATCH_SIZE", 3).train
    with caplog.at_level(logging.INFO, "longtail"):
        for epoch in (1, 2):
            list(train.epoch(epoch))
    messages = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert messages == [
        f"1 image files were refused by the fast decoder and read by Pillow: {annotations.parent}/4.jpg"
    ]


@pytest.mark.slow
def test_workers_persist_between_epochs(annotations: Path) -> None:
    train: Any = loaders(annotations, "fast", "TRAIN.NUM_WORKERS", 1).train
    workers = []
    for epoch in (1, 2):
        list(train.epoch(epoch))
        workers.append([worker.pid for worker in train.pool._loader._iterator._workers])
    assert workers[0] == workers[1]


def test_pillow_is_the_default() -> None:
    assert load_config().DATASET.LOADER == "pillow"
    assert load_config("imagenet_lt,ce_r10").DATASET.LOADER == "fast"
    assert load_config("imagenet_lt,ncl,released").DATASET.LOADER == "pillow"


def test_fast_images_are_uint8(annotations: Path) -> None:
    assert loaders(annotations, "fast").train.peek(2).images.dtype == torch.uint8
