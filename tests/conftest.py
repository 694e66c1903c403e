"""Fixtures of all tests."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: small tensors gain nothing from more, and cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def data_parallel_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `DataParallel` use no GPU, although the machine may have some: the tests of it use CPUs."""
    module = sys.modules[nn.DataParallel.__module__]  # torch.nn.parallel.data_parallel is a function, too
    monkeypatch.setattr(module, "_get_available_device_type", lambda: None)


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes `<split>.json` and its PNG images, and returns the path of the former.

    Each image has one random color per pixel; `sizes` are (height, width), repeated as often as needed.
    """

    def write(split: str, labels: list[int], num_classes: int, sizes: tuple[tuple[int, int], ...] = ((8, 8),)) -> str:
        folder = tmp_path / split
        folder.mkdir()
        random = np.random.default_rng(len(labels))
        entries = []
        for number, label in enumerate(labels):
            height, width = sizes[number % len(sizes)]
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            entries.append({"fpath": f"{split}/{number}.png", "category_id": label})
        path = tmp_path / f"{split}.json"
        path.write_text(json.dumps({"annotations": entries, "num_classes": num_classes}))
        return str(path)

    return write
