"""Tests that the sheet of samples is bit-identical to the training batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.data import build_loaders
from longtail.data.inspect.browse import browse, class_names

DIGITS = ["DATASET.DATASET", "digits_lt", "DATASET.IMBALANCECIFAR.RATIO", 0.02, "TRAIN.BATCH_SIZE", 32]


def check(cfg: Any, sheet: Any, views: Any) -> None:
    """Compare the samples of a sheet with the batches of the first epoch."""
    loader = build_loaders(cfg).train
    fed = {int(i): (b.images[:, k], int(b.labels[k])) for b in loader.epoch(1) for k, i in enumerate(b.indices)}
    for sample in sheet.samples:
        assert torch.equal(sample.views, fed[sample.index][0])
        assert sample.label == fed[sample.index][1]
        assert len(sample.views) == len(sheet.views) == views


@pytest.mark.slow
@pytest.mark.parametrize("views", [["crop"], ["autoaugment", "simclr"]])
def test_browse_views_equal_first_epoch(views: Any) -> None:
    cfg = load_config(None, [*DIGITS, "DATASET.VIEWS", views])
    sheet = browse(cfg)
    check(cfg, sheet, len(views))
    assert [sample.part for sample in sheet.samples] == ["head"] * 4 + ["middle"] * 4 + ["tail"] * 4
    assert sheet.views == views


def test_browse_parts_are_thirds_by_class_size() -> None:
    sheet = browse(load_config(None, [*DIGITS, "DATASET.VIEWS", ["none"]]), per_part=3)
    assert [s.label for s in sheet.samples] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [s.class_count for s in sheet.samples] == [sheet.counts[s.label] for s in sheet.samples]
    assert all(torch.equal(s.views[0], s.original) for s in sheet.samples)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[0] * 5 + [1], [0, 0, 0, 1, 1, 0]])
def test_browse_image_files_and_few_classes(image_folder: Callable[..., str], labels: Any) -> None:
    files = image_folder("train", labels, len(set(labels)), ((70, 66),))
    cfg = load_config(
        None,
        [
            *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", files, "DATASET.VALID_JSON", files),
            *("DATASET.VIEWS", ["crop_flip"], "TRAIN.BATCH_SIZE", 2, "TRAIN.NUM_WORKERS", 1),
        ],
    )
    sheet = browse(cfg)
    check(cfg, sheet, 1)
    assert {sample.label for sample in sheet.samples} == set(labels)
    assert len({sample.index for sample in sheet.samples}) == len(sheet.samples)


def test_class_names_from_folders() -> None:
    assert class_names(["a/cat/1.jpg", "b/cat/2.jpg", "a/dog/1.jpg"], torch.tensor([0, 0, 1])) == {0: "cat", 1: "dog"}
    assert class_names(["all/1.jpg", "all/2.jpg"], torch.tensor([0, 1])) == {}
    assert class_names([], torch.tensor([0, 1])) == {}
