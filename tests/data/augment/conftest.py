"""Test images for all operations."""

import numpy as np
import pytest
import torch


def _shaped(height: int, width: int) -> torch.Tensor:
    """Twelve images: constants, gradients, edges, few levels and noise, as uint8 (12, 3, height, width)."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[0:height, 0:width]
    across, down = 255 * x / (width - 1), 255 * y / (height - 1)
    stack = [
        np.zeros((height, width, 3)),
        np.full((height, width, 3), 255),
        np.tile([17, 128, 203], (height, width, 1)),
        np.stack([across, down, 255 - across], -1),
        np.stack([100 + across / 8, 90 + down / 16, 40 + (across + down) / 30], -1),
        np.stack([(x + y) % 2 * 255, x // 4 % 2 * 255, y // 4 % 2 * 200 + 20], -1),
        rng.integers(0, 2, (height, width, 3)) * 77 + 50,
        np.clip(rng.normal(120, 30, (height, width, 3)), 0, 255),
        np.clip(rng.normal(250, 20, (height, width, 3)), 0, 255),
        np.kron(rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1)))[:height, :width],
        rng.integers(0, 256, (height, width, 3)),
        rng.integers(0, 256, (height, width, 3)),
    ]
    return torch.from_numpy(np.stack(stack).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(params=[(32, 32), (40, 40), (24, 37)], ids=["32x32", "40x40", "24x37"])
def images(request: pytest.FixtureRequest) -> torch.Tensor:
    return _shaped(*request.param)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
