from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import Normalize as Reference
from torchvision.transforms.functional import to_tensor

from longtail.config import load_config
from longtail.data import build_normalize
from longtail.data.normalization import NORMALIZATIONS, Normalize
from longtail.errors import UserError


@pytest.fixture
def images() -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 3, 5, 7), dtype=np.uint8))


def reference(images: Any, mean: Any, std: Any) -> Any:
    pixels = [to_tensor(image.permute(1, 2, 0).numpy()) for image in images.flatten(0, 1)]
    return Reference(mean, std)(torch.stack(pixels)).unflatten(0, images.shape[:2])


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
@pytest.mark.parametrize("channels_last", [False, True])
def test_normalize_equals_torchvision(images: Any, name: Any, channels_last: Any) -> None:
    before = images.clone()
    mean, std = NORMALIZATIONS.get(name)
    result = Normalize(mean, std, channels_last=channels_last)(images)
    torch.testing.assert_close(result, reference(images, mean, std), rtol=0, atol=1e-6)
    assert torch.equal(images, before)


# Mean and standard deviation of each channel: NCL's and Bag of Tricks' constants, and those of scikit-learn's digits.
CONSTANTS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "inaturalist": ((0.466, 0.471, 0.380), (0.195, 0.194, 0.192)),
    "digits": ((0.305,) * 3, (0.352,) * 3),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_normalization_constants(name: str) -> None:
    assert NORMALIZATIONS.get(name) == CONSTANTS[name]


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalize_memory_format(images: Any, channels_last: Any) -> None:
    result = Normalize((0.5,) * 3, (0.5,) * 3, channels_last=channels_last)(images)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert all(view.is_contiguous(memory_format=layout) for view in result)
    assert result.flatten(0, 1).is_contiguous(memory_format=layout)


def test_normalize_bgr(images: Any) -> None:
    mean, std = NORMALIZATIONS.get("imagenet")
    result = Normalize(mean, std, bgr=True)(images)
    torch.testing.assert_close(result, reference(images[:, :, [2, 1, 0]], mean, std), rtol=0, atol=1e-6)


def test_normalize_twice(images: Any) -> None:
    normalize = Normalize(*NORMALIZATIONS.get("cifar"))
    assert torch.equal(normalize(images), normalize(images))


def test_build_normalize(images: Any) -> None:
    cfg = load_config(None, ["DATASET.NORMALIZATION", "digits", "COLOR_SPACE", "BGR", "TRAIN.CHANNELS_LAST", False])
    expected = reference(images[:, :, [2, 1, 0]], *NORMALIZATIONS.get("digits"))
    torch.testing.assert_close(build_normalize(cfg)(images), expected, rtol=0, atol=1e-6)


def test_build_normalize_unknown_name() -> None:
    with pytest.raises(UserError, match=r"unknown normalization 'cifer'; .*did you mean cifar"):
        build_normalize(load_config(None, ["DATASET.NORMALIZATION", "cifer"]))
