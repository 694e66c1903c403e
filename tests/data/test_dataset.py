from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from longtail.data.dataset import ImageSet
from longtail.data.images.files import ImageFiles
from longtail.errors import UserError


def in_memory(images: Any, labels: Any, num_classes: Any = 3) -> Any:
    return ImageSet.from_tensor("set", images, labels=labels, num_classes=num_classes)


def of_names(names: Any, labels: Any, num_classes: Any = 3) -> Any:
    return ImageSet.from_files("set", names, labels=labels, num_classes=num_classes)


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def files(*sides: Any) -> Any:
        paths = []
        for number, side in enumerate(sides):
            Image.new("RGB", (side, side), (number, 0, 0)).save(tmp_path / f"{number}.png")
            paths.append(str(tmp_path / f"{number}.png"))
        return ImageSet.from_files("train.json", paths, labels=[0] * len(sides), num_classes=1)

    return files


def test_class_counts() -> None:
    images = of_names(["a", "b", "c"], [0, 2, 2], num_classes=4)
    assert images.class_counts() == [1, 0, 2, 0]
    assert len(images) == 3
    assert images.labels.dtype == torch.int64


def test_load_small_files_of_one_size(files: Any) -> None:
    pixels = files(64, 64, 64).load()
    assert isinstance(pixels, torch.Tensor)
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("sides", [(65, 65), (8, 8, 9)])
def test_load_large_or_unequal_files(files: Any, sides: Any) -> None:
    pixels = files(*sides).load()
    assert isinstance(pixels, ImageFiles)
    assert len(pixels) == len(sides)
    assert pixels[1].shape == (3, sides[1], sides[1])


def test_load_missing_large_files(files: Any, tmp_path: Path) -> None:
    images = files(65, 65, 65)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").unlink()
    with pytest.raises(UserError, match=r"train\.json: 2 of 3 image files do not exist, the first is .*1\.png$"):
        images.load()


def test_load_missing_small_file(files: Any, tmp_path: Path) -> None:
    images = files(8, 8)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png does not exist$"):
        images.load()


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Return a function that writes equal images of a side and returns their set."""

    def write(names: Any, labels: Any, *, side: Any = 8, folder: Any = "here", color: Any = 0, **settings: Any) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        paths = [str(tmp_path / folder / name) for name in names]
        for path in paths:
            Image.new("RGB", (side, side), (color, 0, 0)).save(path)
        return of_names(paths, labels, **settings)

    return write


@pytest.mark.parametrize("side", [8, 80], ids=["small", "large"])
def test_fingerprint_ignores_folder(written: Any, side: Any) -> None:
    names = ["a.png", "b.png"]
    first, second = (written(names, [0, 1], side=side, folder=folder) for folder in ("here", "there"))
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize("side", [8, 80], ids=["small", "large"])
@pytest.mark.parametrize(
    ("names", "labels", "settings"),
    [
        (["a.png", "b.png"], [1, 0], {}),
        (["b.png", "a.png"], [0, 1], {}),
        (["a.png", "c.png"], [0, 1], {}),
        (["a.png", "b.png"], [0, 1], {"num_classes": 4}),
        (["a.png"], [0], {}),
    ],
    ids=["labels", "order", "names", "classes", "length"],
)
def test_fingerprint_differs(written: Any, names: Any, labels: Any, settings: Any, side: Any) -> None:
    first = written(["a.png", "b.png"], [0, 1], side=side).fingerprint()
    assert written(names, labels, side=side, **settings).fingerprint() != first


def test_fingerprint_of_small_images_is_of_their_pixels(written: Any) -> None:
    prints = {written(["a.png"], [0], folder=f"{color}", color=color).fingerprint() for color in (1, 2, 3)}
    assert len(prints) == 3


def test_fingerprint_of_large_images_is_of_their_file_sizes(written: Any) -> None:
    first = written(["a.png"], [0], side=80)
    before = first.fingerprint()
    with open(first.paths[0], "ab") as file:
        file.write(b"more")
    assert of_names(first.paths, [0]).fingerprint() != before


def test_fingerprint_depends_on_weights() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    plain = in_memory(images, [0, 1])
    weighted = [replace(plain, weights=torch.tensor(weights)) for weights in ([1.0, 1.0], [1.0, 2.0], [2.0, 1.0])]
    assert len({each.fingerprint() for each in (plain, *weighted)}) == 4


def test_fingerprint_of_pixels() -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    same = in_memory(images.clone(), [0, 1])
    assert in_memory(images, [0, 1]).fingerprint() == same.fingerprint()
    assert in_memory(images.flip(0), [0, 1]).fingerprint() != same.fingerprint()
    assert in_memory(images, [1, 0]).fingerprint() != same.fingerprint()
