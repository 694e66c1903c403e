"""Tests of loaders of image files: memory or disk, errors in workers, different sizes."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.config import load_config
from longtail.data import build_loaders
from longtail.data.loaders import MemoryLoader
from longtail.errors import UserError


@pytest.fixture
def files(image_folder: Callable[..., str], tmp_path: Path) -> Any:
    """Return a function that builds the loaders of image files that are too large for memory."""

    def files(*overrides: Any, sizes: Any = ((65, 65),)) -> Any:
        name = f"train{len(list(tmp_path.glob('*.json'))) or ''}"
        train = image_folder(name, [0, 1, 2] * 3, 3, sizes)
        cfg = load_config(
            None,
            [
                "DATASET.DATASET",
                "annotations",
                "DATASET.TRAIN_JSON",
                train,
                "DATASET.VALID_JSON",
                train,
                "DATASET.VIEWS",
                ["none"],
                "TRAIN.BATCH_SIZE",
                4,
                "TRAIN.NUM_WORKERS",
                0,
                "TEST.NUM_WORKERS",
                0,
                *overrides,
            ],
        )
        return build_loaders(cfg)

    return files


@pytest.mark.slow
def test_file_loader_large_images(files: Any) -> None:
    batches = list(files("TRAIN.NUM_WORKERS", 2).train.epoch(1))
    assert [tuple(batch.images.shape) for batch in batches] == [(1, 4, 3, 65, 65)] * 2


def test_memory_loader_small_images(files: Any) -> None:
    loaders = files(sizes=((8, 8),))
    assert isinstance(loaders.train, MemoryLoader)
    assert isinstance(loaders.valid, MemoryLoader)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", ["missing", "damaged"])
def test_file_loader_error_in_worker(files: Any, tmp_path: Path, workers: Any, error: Any) -> None:
    loader = files("TRAIN.NUM_WORKERS", workers).train
    for path in (tmp_path / "train").iterdir():
        if error == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:500])
    expected = "does not exist" if error == "missing" else "cannot be read: "
    with pytest.raises(UserError, match=rf"^image .*train/\d\.png {expected}[^\n]*$"):
        list(loader.epoch(1))


@pytest.mark.parametrize("sizes", [((70, 66), (80, 66)), ((8, 8), (8, 9))])
def test_file_loader_sizes_differ(files: Any, sizes: Any) -> None:
    with pytest.raises(UserError, match=r"differ in size \((70x66 and 80x66|8x8 and 8x9)\); these keys ") as refused:
        list(files("INPUT_SIZE", (32, 32), sizes=sizes).train.epoch(1))
    keys = shlex.split(str(refused.value).partition("evaluation: ")[2])
    assert keys[-2:] == ["INPUT_SIZE", "(32, 32)"]
    assert next(files(*keys, sizes=sizes).train.epoch(1)).images.shape == (1, 4, 3, 32, 32)


@pytest.mark.parametrize(
    ("views", "test_view", "message"),
    [
        (["autoaugment"], "transforms", "DATASET.VIEWS autoaugment keeps .* 66x66.*, but DATASET.TEST_VIEW transforms"),
        (["regular", "simclr"], "transforms", "DATASET.VIEWS simclr keeps .*, but DATASET.VIEWS regular changes it"),
        (["regular"], "", "DATASET.TEST_VIEW none keeps .*, but DATASET.VIEWS regular changes it"),
    ],
)
def test_views_of_which_some_resize_are_refused(files: Any, views: Any, test_view: str, message: str) -> None:
    settings = ["DATASET.VIEWS", views, "DATASET.TEST_VIEW", test_view, "INPUT_SIZE", (32, 32)]
    with pytest.raises(UserError, match=message.replace(" 66x66", r" \(66x66\)").replace("T.", r"T\.")) as refused:
        files(*settings, sizes=((66, 66),))
    keys = shlex.split(str(refused.value).partition("evaluation: ")[2])
    assert next(files(*settings, *keys, sizes=((66, 66),)).train.epoch(1)).images.shape == (len(views), 4, 3, 32, 32)
    images = files(*settings, sizes=((32, 32),)).train.epoch(1)  # they have INPUT_SIZE already
    assert next(images).images.shape == (len(views), 4, 3, 32, 32)


def test_file_loader_resizes_to_one_size(files: Any) -> None:
    loaders = files(
        "DATASET.VIEWS", ["transforms"], "DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", (16, 16),
        sizes=((70, 66), (66, 80), (20, 30)),
    )  # fmt: skip
    assert {tuple(batch.images.shape[2:]) for batch in loaders.train.epoch(1)} == {(3, 16, 16)}
    assert sum(len(batch.indices) for batch in loaders.valid.epoch(1)) == 9


def test_build_loaders_unknown_view(files: Any) -> None:
    with pytest.raises(UserError, match=r"unknown augmentation policy 'crop_flipp'; .*did you mean crop_flip"):
        files("DATASET.VIEWS", ["crop_flipp"])
