"""Random numbers of torchvision transforms in worker processes depend on the seed of the run."""

from typing import Any

import pytest
import torch
from batch_comparison import same
from fake_files import FakeFiles

from longtail.config import load_config
from longtail.data import ImageSet, Splits, build_loaders

STEPS = ["v2.RandomResizedCrop(8)", "v2.ColorJitter(brightness=0.4, hue=0.1)", "random_horizontal_flip"]


@pytest.mark.slow
def test_v2_batches_of_files_do_not_depend_on_workers() -> None:
    pixels = torch.randint(0, 256, (24, 3, 80, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def batches(workers: int, seed: int = 0) -> list[Any]:
        images = ImageSet("set", torch.arange(24) % 2, num_classes=2, load=lambda: FakeFiles(pixels))
        settings = ["TRAIN.BATCH_SIZE", 4, "TRAIN.NUM_WORKERS", workers, "RAND_SEED", seed]
        views = ["DATASET.VIEWS", ["transforms"], "TRANSFORMS.TRAIN_TRANSFORMS", STEPS, "INPUT_SIZE", (8, 8)]
        views += ["DATASET.TEST_VIEW", "transforms"]
        return list(build_loaders(load_config(None, [*settings, *views]), Splits(images, images)).train.epoch(2))

    alone = batches(0)
    assert alone[0].images.shape == (1, 4, 3, 8, 8)
    assert same(batches(2), alone) and not same(batches(0, seed=1), alone)
