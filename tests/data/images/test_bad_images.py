"""Tests of images that cannot be read: raising, or skipping without changing anything else."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batch_comparison import same
from PIL import Image

from longtail.config import load_config
from longtail.data import Shard, build_loaders
from longtail.data.images.bad_images import BadImage, BadImages, replacements
from longtail.data.images.files import ImageFiles
from longtail.data.loaders import SINGLE, FileLoader, LoaderSettings, MemoryLoader
from longtail.errors import UserError

LABELS = [0, 1, 0, 1, 0, 2, 0, 1, 1, 0, 0, 2]
SMALL, LARGE = ((8, 8),), ((65, 65),)


@pytest.fixture
def build(image_folder: Callable[..., str], tmp_path: Path) -> Any:
    """Return a function that builds loaders of twelve images, some of them damaged."""
    settings = [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(tmp_path / "train.json")),
        *("DATASET.VALID_JSON", str(tmp_path / "valid.json"), "DATASET.VIEWS", ["crop_flip"], "TRAIN.BATCH_SIZE", 4),
        *("TEST.BATCH_SIZE", 2, "TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0, "DATASET.ON_BAD_IMAGE", "skip"),
    ]

    def build(
        *overrides: Any,
        sizes: Any = SMALL,
        bad: Any = (),
        damage: Any = lambda path: path.write_bytes(b""),
        shard: Shard = SINGLE,
    ) -> Any:
        if not (tmp_path / "train.json").exists():
            image_folder("train", LABELS, 3, sizes)
            image_folder("valid", [0, 1, 2], 3, sizes)
        for number in bad:
            damage(tmp_path / "train" / f"{number}.png")
        return build_loaders(load_config(None, [*settings, *overrides]), shard=shard)

    return build


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def names(loaders: Any) -> Any:
    return [Path(file).name for file in loaders.bad_images.summary().get("bad_images", {"files": []})["files"]]


def test_replacements_order() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0])
    assert list(replacements(labels, 0)) == [2, 4]
    assert list(replacements(labels, 4)) == [0, 2]
    assert list(replacements(torch.tensor([0, 1]), 1)) == []


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["memory", "files"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink, lambda path: path.write_bytes(b"")])
def test_skip_replaces_only_bad_images(build: Any, sizes: Any, damage: Any, tmp_path: Path) -> None:
    whole = build("DATASET.VIEWS", ["none"], sizes=sizes)
    before = list(whole.train.epoch(1))
    loaders = build("DATASET.VIEWS", ["none"], sizes=sizes, bad=[6, 9], damage=damage)
    assert isinstance(loaders.train, MemoryLoader if sizes is SMALL else FileLoader)
    after = list(loaders.train.epoch(1))
    images = {int(i): b.images[0, k] for b in before for k, i in enumerate(b.indices)}
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old.indices, new.indices) and torch.equal(old.labels, new.labels)
        for k, index in enumerate(old.indices.tolist()):
            # 6 and 9 are of class 0, whose images are 0 2 4 6 9 10: the next readable one is 10
            assert torch.equal(new.images[0, k], images[10 if index in (6, 9) else index])
    assert names(loaders) == ["6.png", "9.png"]


def test_skip_memory_equals_files(build: Any, tmp_path: Path) -> None:
    memory = build("DATASET.VIEWS", ["none"], bad=[10, 0, 11]).train
    paths = [str(tmp_path / "train" / f"{number}.png") for number in range(len(LABELS))]
    settings = LoaderSettings(sampler=memory.sampler, labels=memory.labels, batch_size=4, seed=42, drop_last=True)
    files = FileLoader(ImageFiles(paths, memory.labels, limit=3), memory.policies, settings=settings, workers=0)
    assert same(list(memory.epoch(1)), list(files.epoch(1)))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["memory", "files"])
def test_bad_images_counted_once(build: Any, workers: Any, sizes: Any, caplog: pytest.LogCaptureFixture) -> None:
    loaders = build("TRAIN.NUM_WORKERS", workers, sizes=sizes, bad=[1, 4], damage=truncate)
    with caplog.at_level(logging.WARNING, "longtail"):
        batches = [list(loaders.train.epoch(epoch)) for epoch in (1, 2)]
    assert loaders.bad_images.summary()["bad_images"]["count"] == 2
    assert names(loaders) == ["1.png", "4.png"]
    if sizes is LARGE:
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 2
        assert all("cannot be read" in message for message in messages)
        assert all("replaced by the next image of its class" in message for message in messages)
    assert [len(epoch) for epoch in batches] == [3, 3]


def test_skip_epoch_from_any_step(build: Any) -> None:
    loader = build(sizes=LARGE, bad=[1, 4], damage=truncate).train
    whole = list(loader.epoch(2))
    for start in range(4):
        assert same(list(loader.epoch(2, start)), whole[start:])


def test_bad_images_merge_of_two_shards(build: Any) -> None:
    loaders = [
        build("TRAIN.BATCH_SIZE", 2, sizes=LARGE, bad=[1, 4], damage=truncate, shard=Shard(r, 2)) for r in (0, 1)
    ]
    for shard in loaders:
        list(shard.train.epoch(1))
    files = [set(shard.bad_images.files) for shard in loaders]
    assert sorted(Path(file).name for file in files[0] | files[1]) == ["1.png", "4.png"]
    loaders[0].bad_images.merge(files[1])
    assert names(loaders[0]) == ["1.png", "4.png"]


def test_skip_validation_images(build: Any, tmp_path: Path) -> None:
    build(sizes=LARGE)
    Image.new("RGB", (65, 65)).save(tmp_path / "valid" / "other.png")
    listing = tmp_path / "valid.json"
    listing.write_text(
        listing.read_text().replace(
            '"annotations": [', '"annotations": [{"fpath": "valid/other.png", "category_id": 0},'
        )
    )
    (tmp_path / "valid" / "0.png").write_bytes(b"")
    loaders = build()
    batches = list(loaders.valid.epoch(1))
    assert sum(len(batch.labels) for batch in batches) == 4
    assert batches[0].images[0, 1].max() == 0  # image 0, replaced by the black image
    assert names(loaders) == ["0.png"]


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["memory", "files"])
def test_raise_on_first_bad_image(build: Any, sizes: Any) -> None:
    with pytest.raises(UserError, match=r"^image .*train/\d\.png cannot be read: [^\n]+$"):
        list(build("DATASET.ON_BAD_IMAGE", "raise", sizes=sizes, bad=[4, 1], damage=truncate).train.epoch(1))


def test_raise_names_first_of_several_bad_images(build: Any) -> None:
    with pytest.raises(UserError, match=r"train/1\.png cannot be read"):
        build("DATASET.ON_BAD_IMAGE", "raise", bad=[4, 1, 8], damage=truncate)


def test_skip_first_image(build: Any) -> None:
    assert isinstance(build(bad=[0]).train, MemoryLoader)


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["memory", "files"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_bad_images_add_over_limit(build: Any, sizes: Any, damage: Any) -> None:
    expected = (
        r"^more image files cannot be read than DATASET.BAD_IMAGE_LIMIT \(2\) allows; the last one: image [^\n]+$"
    )
    with pytest.raises(UserError, match=expected):
        loaders = build("DATASET.BAD_IMAGE_LIMIT", 2, sizes=sizes, bad=[1, 4, 6], damage=damage)
        list(loaders.train.epoch(1))


@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["memory", "files"])
def test_skip_class_without_readable_image(build: Any, sizes: Any) -> None:
    with pytest.raises(
        UserError, match=r"images? of class 2 cannot be read and there is no replacement; image .*\.png"
    ):
        list(build(sizes=sizes, bad=[5, 11]).train.epoch(1))


def test_skip_all_images_missing(build: Any) -> None:
    with pytest.raises(UserError, match=r"^image .*train/11\.png does not exist$"):
        build(bad=range(12), damage=Path.unlink)


def test_bad_images_check_merged_files() -> None:
    bad = BadImages(2)
    bad.add([BadImage("a", "image a is bad"), BadImage("a", "image a is bad")])
    bad.merge(["a", "b"])
    bad.check()
    assert bad.summary() == {"bad_images": {"count": 2, "files": ["a", "b"]}}
    bad.merge(["c"])
    with pytest.raises(
        UserError, match=r"^3 image files cannot be read, and DATASET.BAD_IMAGE_LIMIT allows 2; one .*: a$"
    ):
        bad.check()


def test_bad_images_summary() -> None:
    bad = BadImages(100)
    assert bad.summary() == {}
    bad.merge(f"{number:02d}" for number in range(30))
    assert bad.summary()["bad_images"] == {"count": 30, "files": [f"{number:02d}" for number in range(20)]}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DATASET.ON_BAD_IMAGE", "ignore", "DATASET.ON_BAD_IMAGE is 'ignore'; allowed: 'raise', 'skip'"),
        ("DATASET.BAD_IMAGE_LIMIT", 0, "DATASET.BAD_IMAGE_LIMIT is 0; it must be at least 1"),
        ("DATASET.CACHE", "RAM", "DATASET.CACHE is 'RAM'; allowed: 'none', 'ram'; did you mean ram?"),
    ],
)
def test_invalid_read_keys(key: Any, value: Any, message: Any) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, [key, value])
    assert message in str(error.value)
