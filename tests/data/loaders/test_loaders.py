"""Tests of the interface of all loaders: batches are a function of (seed, epoch, step)."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from batch_comparison import same
from fake_files import FakeFiles

from longtail.config import load_config
from longtail.data import ImageSet, Shard, Splits, build_loaders
from longtail.data.loaders import CPU, SINGLE, FileLoader, LoaderSettings, MemoryLoader, memory
from longtail.data.samplers import InstanceBalanced
from longtail.errors import UserError

N, CLASSES = 37, 5


def pixels(count: Any, seed: Any = 0) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8))


def image_set(kind: Any, count: Any, seed: Any) -> Any:
    """Return a set whose images are a new object each time they are loaded."""
    images = pixels(count, seed)
    labels = torch.arange(count) % CLASSES
    load = images.clone if kind == "memory" else lambda: FakeFiles(images)
    return ImageSet(kind, labels, num_classes=CLASSES, load=load)


@pytest.fixture(params=["memory", "files"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that builds the loaders of a tiny data set, in memory or decoded image by image."""
    monkeypatch.setattr(memory, "CHUNK", 8)  # two batches per chunk, so that chunks end inside an epoch

    def build(*overrides: Any, shard: Any = SINGLE, train: Any = N, valid: Any = 11, device: Any = CPU) -> Any:
        cfg = load_config(
            None,
            [
                "TRAIN.BATCH_SIZE",
                4,
                "TEST.BATCH_SIZE",
                4,
                "TRAIN.NUM_WORKERS",
                0,
                "TEST.NUM_WORKERS",
                0,
                "DATASET.VIEWS",
                ["crop_flip"],
                *overrides,
            ],
        )
        splits = Splits(image_set(request.param, train, 0), image_set(request.param, valid, 1))
        return build_loaders(cfg, splits, shard=shard, device=device)

    return build


def indices(batches: Any) -> Any:
    return [index for batch in batches for index in batch.indices.tolist()]


def by_sample(batches: Any) -> Any:
    """Return the views of each sample."""
    return {int(i): batch.images[:, k] for batch in batches for k, i in enumerate(batch.indices)}


# ------------------------------------------------------------------ training


def test_train_epoch_drops_last_batch(build: Any) -> None:
    loader = build().train
    batches = list(loader.epoch(1))
    assert len(batches) == len(loader) == N // 4
    assert all(batch.images.shape == (1, 4, 3, 8, 8) for batch in batches)
    assert len(set(indices(batches))) == 36


def test_train_images_and_labels_match_indices(build: Any) -> None:
    images = pixels(N)
    for batch in build("DATASET.VIEWS", ["none"]).train.epoch(1):
        assert torch.equal(batch.images[0], images[batch.indices])
        assert torch.equal(batch.labels, batch.indices % CLASSES)
        assert (batch.images.dtype, batch.labels.dtype, batch.indices.dtype) == (torch.uint8, torch.int64, torch.int64)
        assert batch.partner is None


def test_build_loaders_device(build: Any) -> None:
    for loader in build(device=torch.device("meta"))[:2]:
        if isinstance(loader, MemoryLoader):
            assert loader.images.device.type == "meta"
        else:
            assert next(loader.epoch(1)).images.device.type == "cpu"


def test_train_epochs_differ(build: Any) -> None:
    loader = build().train
    first, second = list(loader.epoch(1)), list(loader.epoch(2))
    assert indices(first) != indices(second)
    views, others = by_sample(first), by_sample(second)
    both = views.keys() & others.keys()
    assert sum(not torch.equal(views[i], others[i]) for i in both) > 0.9 * len(both)


def test_train_epoch_depends_on_seed(build: Any) -> None:
    assert same(list(build().train.epoch(3)), list(build().train.epoch(3)))
    assert not same(list(build().train.epoch(3)), list(build("RAND_SEED", 1).train.epoch(3)))


def test_train_epoch_independent_of_earlier_draws(build: Any) -> None:
    loader = build().train
    fresh = list(build().train.epoch(2))
    list(loader.epoch(1))
    torch.rand(3)
    assert same(list(loader.epoch(2)), fresh)


def test_train_epoch_from_any_step(build: Any) -> None:
    loader = build().train
    whole = list(loader.epoch(2))
    for start in range(len(whole) + 1):
        assert same(list(loader.epoch(2, start)), whole[start:])


@pytest.mark.parametrize("workers", [0, 1])
def test_train_epoch_keeps_global_random_states(build: Any, workers: Any) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    list(build("TRAIN.NUM_WORKERS", workers).train.epoch(1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


def test_train_epoch_without_shuffling(build: Any) -> None:
    loader = build("TRAIN.SHUFFLE", False).train
    assert indices(loader.epoch(1)) == indices(loader.epoch(2)) == list(range(36))
    assert not same(list(loader.epoch(1)), list(loader.epoch(2)))


@pytest.mark.parametrize(
    ("overrides", "views"),
    [
        (["DATASET.VIEWS", ["crop_flip", "simclr"]], 2),
        (["DATASET.VIEWS", ["crop_flip"], "DATASET.INTRA_N", 3], 3),
    ],
)
def test_train_views_independent(build: Any, overrides: Any, views: Any) -> None:
    batch = next(build(*overrides).train.epoch(1))
    assert batch.images.shape == (views, 4, 3, 8, 8)
    for view in range(1, views):
        assert not torch.equal(batch.images[0], batch.images[view])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_train_shards_equal_and_disjoint(build: Any, world: Any) -> None:
    shards = [build(shard=Shard(rank, world)).train for rank in range(world)]
    batches = [list(shard.epoch(1)) for shard in shards]
    assert [len(shard) for shard in shards] == [len(part) for part in batches] == [N // (4 * world)] * world
    seen = [index for part in batches for index in indices(part)]
    assert len(seen) == len(set(seen)) == N // (4 * world) * 4 * world


def test_train_two_shards_equal_one_process(build: Any) -> None:
    parts = [list(build(shard=Shard(rank, 2)).train.epoch(1)) for rank in range(2)]
    whole = list(build("TRAIN.BATCH_SIZE", 8).train.epoch(1))
    together = [torch.cat([a.indices, b.indices]) for a, b in zip(*parts, strict=True)]
    assert len(together) == len(whole)
    assert all(torch.equal(step, batch.indices) for step, batch in zip(together, whole, strict=True))


@pytest.mark.parametrize(("count", "world", "fits"), [(4, 1, True), (3, 1, False), (8, 2, True), (7, 2, False)])
def test_build_loaders_too_few_images(build: Any, count: Any, world: Any, fits: Any) -> None:
    if fits:
        assert len(build(train=count, shard=Shard(0, world)).train) == 1
        return
    with pytest.raises(UserError, match=rf"has {count} images, fewer than .* \(TRAIN.BATCH_SIZE 4 x {world} proc"):
        build(train=count, shard=Shard(0, world))


def test_build_loaders_too_few_images_besides_generated_ones() -> None:
    """An epoch is as long as the original images, so it would have no step."""
    images, labels = pixels(N), torch.arange(N) % CLASSES
    generated = ImageSet("set", labels, num_classes=CLASSES, load=lambda: images, num_generated=N - 3)
    cfg = load_config(None, ["TRAIN.BATCH_SIZE", 4, "DATASET.VIEWS", ["crop_flip"]])
    with pytest.raises(UserError, match=r"^set has 3 images, fewer than one step needs"):
        build_loaders(cfg, Splits(generated, generated))


# ------------------------------------------------------------------ evaluation


@pytest.mark.parametrize("world", [1, 2, 3, 12])
@pytest.mark.parametrize("count", [3, 11, 12])
def test_valid_shards_cover_each_sample_once(build: Any, world: Any, count: Any) -> None:
    shards = [build(shard=Shard(rank, world), train=48, valid=count).valid for rank in range(world)]
    batches = [list(shard.epoch(1)) for shard in shards]
    assert [len(shard) for shard in shards] == [len(part) for part in batches]
    assert sorted(index for part in batches for index in indices(part)) == list(range(count))


def test_valid_images_unchanged_and_in_order(build: Any) -> None:
    batches = list(build().valid.epoch(1))
    assert indices(batches) == list(range(11))
    assert torch.equal(torch.cat([batch.images[0] for batch in batches]), pixels(11, seed=1))
    assert same(batches, list(build().valid.epoch(5)))


def test_valid_test_view_transforms(build: Any) -> None:
    loader = build("DATASET.VIEWS", ["regular"], "DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", (6, 6)).valid
    assert next(loader.epoch(1)).images.shape == (1, 4, 3, 6, 6)


# ------------------------------------------------------------------ training images in order


def store(loader: Any) -> Any:
    """Return the images that a loader reads from."""
    return loader.images if isinstance(loader, MemoryLoader) else loader.samples.files


@pytest.mark.parametrize("sampler", ["default", "bbn sampler"])
def test_train_in_order_shares_decoded_images(build: Any, sampler: Any) -> None:
    loaders = build("TRAIN.SAMPLER.TYPE", sampler)
    train = loaders.train if sampler == "default" else loaders.train.first
    for view in ("clean", "train"):
        assert store(loaders.train_in_order(view)) is store(train)


@pytest.mark.parametrize("view", ["clean", "train"])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_train_in_order_shards_cover_each_image_once(build: Any, world: Any, view: Any) -> None:
    shards = [build(shard=Shard(rank, world)).train_in_order(view) for rank in range(world)]
    batches = [list(shard.epoch(1)) for shard in shards]
    assert [len(shard) for shard in shards] == [len(part) for part in batches]
    for rank, part in enumerate(batches):
        assert indices(part) == list(range(N))[rank::world]
    for batch in (batch for part in batches for batch in part):
        assert batch.images.shape[0] == 1 and len(batch.labels) <= 4
        assert torch.equal(batch.labels, batch.indices % CLASSES)


def test_train_in_order_clean_view_is_evaluation_view(build: Any) -> None:
    loader = build().train_in_order()
    batches = list(loader.epoch(1))
    assert torch.equal(torch.cat([batch.images[0] for batch in batches]), pixels(N))
    assert same(batches, list(loader.epoch(2)))
    resizing = ["DATASET.VIEWS", ["regular"], "DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", (6, 6)]
    resized = build(*resizing).train_in_order("clean")
    assert next(resized.epoch(1)).images.shape == (1, 4, 3, 6, 6)


@pytest.mark.slow
def test_train_in_order_train_view(build: Any) -> None:
    loaders = build("DATASET.VIEWS", ["crop_flip", "simclr"])
    loader = loaders.train_in_order("train")
    first, second = list(loader.epoch(1)), list(loader.epoch(2))
    assert same(first, list(build("DATASET.VIEWS", ["crop_flip"]).train_in_order("train").epoch(1)))
    assert not same(first, second)
    views, training = by_sample(first), by_sample(loaders.train.epoch(1))
    assert sum(torch.equal(views[i][0], training[i][0]) for i in training) < 0.2 * len(training)


def test_train_in_order_includes_generated_images() -> None:
    images = pixels(N + 3)
    labels = torch.arange(N + 3) % CLASSES
    generated = ImageSet("set", labels, num_classes=CLASSES, load=lambda: images, num_generated=3)
    cfg = load_config(None, ["TRAIN.BATCH_SIZE", 4, "DATASET.VIEWS", ["crop_flip"]])
    loader = build_loaders(cfg, Splits(generated, generated)).train_in_order()
    assert indices(loader.epoch(1)) == list(range(N + 3))


def test_train_in_order_unknown_view(build: Any) -> None:
    with pytest.raises(ValueError, match="view is 'key'; allowed: 'clean', 'train'"):
        build().train_in_order("key")


# ------------------------------------------------------------------ random numbers and worker processes


def noise(images: Any, generator: Any) -> Any:
    """Return images that consist of 64 random bytes each."""
    draws = torch.randint(256, images[:, :1].shape, generator=generator, dtype=torch.uint8)
    return draws.expand_as(images).contiguous()


def make(kind: Any, workers: Any = 0, shard: Any = SINGLE, seed: Any = 0) -> Any:
    settings = LoaderSettings(
        sampler=InstanceBalanced(N, seed),
        labels=torch.arange(N) % CLASSES,
        batch_size=4,
        seed=seed,
        shard=shard,
        drop_last=True,
    )
    if kind == "memory":
        return MemoryLoader(pixels(N), [noise, noise], settings=settings)
    return FileLoader(FakeFiles(pixels(N)), [noise, noise], settings=settings, workers=workers)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("memory", 0), ("files", 0), ("files", 2)])
def test_loader_random_numbers_not_repeated(kind: Any, workers: Any) -> None:
    loader = make(kind, workers)
    draws = [view.numpy().tobytes() for epoch in (1, 2) for batch in loader.epoch(epoch) for view in
             batch.images.flatten(0, 1)]  # fmt: skip
    assert len(draws) == 2 * 9 * 4 * 2
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_loader_random_numbers_differ_across_shards(kind: Any) -> None:
    parts = [make(kind, shard=Shard(rank, 2)).epoch(1) for rank in range(2)]
    draws = [view.numpy().tobytes() for part in parts for batch in part for view in batch.images.flatten(0, 1)]
    assert len(set(draws)) == len(draws) == 2 * 4 * 4 * 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_file_loader_independent_of_workers(workers: Any) -> None:
    assert same(list(make("files", workers).epoch(2)), list(make("files").epoch(2)))
    assert same(list(make("files", workers).epoch(2, 5)), list(make("files").epoch(2))[5:])


# ------------------------------------------------------------------ GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("policy", ["autoaugment", "crop_flip", "simclr"])
def test_images_on_a_gpu_are_augmented_without_waiting_for_it(policy: str) -> None:
    images = torch.randint(256, (3000, 3, 32, 32), dtype=torch.uint8)
    cfg = load_config(None, ["DATASET.VIEWS", [policy], "TRAIN.BATCH_SIZE", 64])
    image_set = ImageSet("random", torch.arange(3000) % CLASSES, num_classes=CLASSES, load=images.clone)
    splits = Splits(image_set, image_set)
    on_gpu = build_loaders(cfg, splits, device=torch.device("cuda")).train
    list(on_gpu.epoch(1))  # allocates memory, for which it may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(on_gpu.epoch(1))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(batch.images.is_cuda for batch in batches)
    for batch, expected in zip(batches, build_loaders(cfg, splits, device=CPU).train.epoch(1), strict=True):
        assert (batch.images.cpu().int() - expected.images.int()).abs().max() <= 1
