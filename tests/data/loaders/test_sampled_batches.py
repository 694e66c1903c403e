"""Tests of samplers with loaders: shards, epochs from the middle, repeated and paired images."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from batch_comparison import same
from fake_files import FakeFiles

from longtail.config import load_config
from longtail.data import ImageSet, Shard, Splits, build_loaders
from longtail.data.loaders import memory

COUNTS, GENERATED = (40, 12, 6, 3), (0, 2, 4, 6)
N, B = sum(COUNTS), 4
WEIGHTED = ("TRAIN.SAMPLER.TYPE", "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE")
SAMPLERS = {
    "default": (),
    "balance": (*WEIGHTED, "balance"),
    "square": (*WEIGHTED, "square"),
    "progressive": (*WEIGHTED, "progressive"),
    "deferred": (*WEIGHTED, "balance", "TRAIN.TWO_STAGE.DRS", True),
    "reverse": ("TRAIN.SAMPLER.TYPE", "bbn sampler"),
    "NCL square": ("TRAIN.SAMPLER.MULTI_NETWORK_TYPE", ["weighted_square"]),
}


def pixels() -> Any:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (N + sum(GENERATED), 3, 8, 8), dtype=np.uint8))


def labels() -> Any:
    classes = torch.arange(len(COUNTS))
    return torch.cat([classes.repeat_interleave(torch.tensor(counts)) for counts in (COUNTS, GENERATED)])


@pytest.fixture(params=["memory", "files"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that builds the training loader of 61 original and 12 generated images."""
    monkeypatch.setattr(memory, "CHUNK", 8)

    def loader(*overrides: Any, shard: Any = Shard(), workers: Any = 0) -> Any:  # noqa: B008  (immutable)
        images = pixels()
        load = (lambda: images) if request.param == "memory" else (lambda: FakeFiles(images))
        train = ImageSet("train", labels(), num_classes=len(COUNTS), load=load, num_generated=sum(GENERATED))
        settings = ["TRAIN.BATCH_SIZE", B, "TRAIN.NUM_WORKERS", workers, "DATASET.VIEWS", ["crop_flip"], *overrides]
        return build_loaders(load_config(None, settings), Splits(train, train), shard=shard).train

    return loader


def with_partners(batches: Any) -> Any:
    """Return the batches and their partners, if any."""
    return [part for batch in batches for part in (batch, batch.partner) if part is not None]


@pytest.mark.parametrize("name", SAMPLERS)
def test_epoch_length_is_number_of_original_images(loader: Any, name: Any) -> None:
    train = loader(*SAMPLERS[name])
    batches = list(train.epoch(2))
    assert len(train) == len(batches) == N // B
    for batch in with_partners(batches):
        assert batch.images.shape == (1, B, 3, 8, 8)
        assert torch.equal(batch.labels, labels()[batch.indices])
    drawn = torch.cat([batch.indices for batch in with_partners(batches)])
    assert (drawn.max() >= N) == (name != "default")  # generated images


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_epoch_from_middle(loader: Any, name: Any) -> None:
    whole = with_partners(loader(*SAMPLERS[name]).epoch(2))
    per_step = len(whole) // (N // B)
    for start in (1, 4, 7, N // B):
        assert same(with_partners(loader(*SAMPLERS[name]).epoch(2, start)), whole[start * per_step :])


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_partition_order(loader: Any, name: Any, world: Any) -> None:
    """Concatenated step by step, the shards of all processes are the order of one process."""
    alone = loader(*SAMPLERS[name])
    shards = [loader(*SAMPLERS[name], shard=Shard(rank, world)) for rank in range(world)]
    for partner in (False, True) if name == "reverse" else (False,):
        sampler = alone.sampler.partner if partner else alone.sampler
        steps = [[batch.partner if partner else batch for batch in shard.epoch(2)] for shard in shards]
        together = torch.cat([part.indices for step in zip(*steps, strict=True) for part in step])
        assert len(together) == N // (B * world) * B * world
        assert torch.equal(together, sampler.indices(2)[: len(together)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["balance", "reverse"])
def test_repeated_images_augmented_independently(loader: Any, name: Any) -> None:
    batches = with_partners(loader(*SAMPLERS[name], "DATASET.VIEWS", ["simclr"]).epoch(2))
    views: dict[int, list[Any]] = {}
    for batch in batches:
        for index, image in zip(batch.indices.tolist(), batch.images[0], strict=True):
            views.setdefault(index, []).append(image.numpy().tobytes())
    repeated = [shown for shown in views.values() if len(shown) > 1]
    assert len(repeated) > 5
    assert all(len(set(shown)) == len(shown) for shown in repeated)


def test_paired_loader_partners(loader: Any) -> None:
    batches = list(loader(*SAMPLERS["reverse"], "DATASET.VIEWS", ["none"]).epoch(1))
    for batch in with_partners(batches):
        assert torch.equal(batch.images[0], pixels()[batch.indices])
    first = torch.cat([batch.labels for batch in batches])
    second = torch.cat([batch.partner.labels for batch in batches])
    assert torch.bincount(first)[0] > 30  # instance-balanced
    assert torch.bincount(second, minlength=4)[0] < 15  # reversed


@pytest.mark.slow
def test_paired_loader_first_equals_default_sampler(loader: Any) -> None:
    plain = list(loader().epoch(1))
    assert same([batch._replace(partner=None) for batch in loader(*SAMPLERS["reverse"]).epoch(1)], plain)


@pytest.mark.slow
def test_paired_loader_partner_augmentation_independent(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = pixels()[:1].expand(N + sum(GENERATED), -1, -1, -1)
    monkeypatch.setattr(sys.modules[__name__], "pixels", lambda: alike)
    for batch in loader(*SAMPLERS["reverse"], "DATASET.VIEWS", ["simclr"]).epoch(1):
        assert not any(map(torch.equal, batch.images[0], batch.partner.images[0]))


def test_paired_loader_views(loader: Any) -> None:
    batch = next(loader(*SAMPLERS["reverse"], "DATASET.INTRA_N", 2).epoch(1))
    assert batch.images.shape == batch.partner.images.shape == (2, B, 3, 8, 8)
    assert not torch.equal(batch.partner.images[0], batch.partner.images[1])


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["files"], indirect=True)
@pytest.mark.parametrize("name", ["balance", "reverse"])
def test_sampled_batches_independent_of_workers(loader: Any, name: Any) -> None:
    alone = with_partners(loader(*SAMPLERS[name]).epoch(2))
    assert same(with_partners(loader(*SAMPLERS[name], workers=2).epoch(2)), alone)
