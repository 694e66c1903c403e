"""Transforms of torchvision.transforms.v2 by name."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

from longtail.config import load_config
from longtail.data import ImageSet, Shard, Splits, build_loaders
from longtail.data.augment import build_policy, build_transforms, fast_policy
from longtail.data.augment.torchvision_v2 import TorchvisionTransform
from longtail.errors import UserError
from longtail.stages.checks import check_names

TRANSFORMS = "TRANSFORMS.TRAIN_TRANSFORMS"
JITTER = "v2.ColorJitter(brightness=0.4, hue=0.1)"
CALLS = {
    JITTER: v2.ColorJitter(brightness=0.4, hue=0.1),
    "v2.RandomErasing(p=1.0)": v2.RandomErasing(p=1.0),
    "v2.TrivialAugmentWide()": v2.TrivialAugmentWide(),
    "v2.TrivialAugmentWide": v2.TrivialAugmentWide(),
    "v2.RandomResizedCrop(16, scale=(0.2, 1.0))": v2.RandomResizedCrop(16, scale=(0.2, 1.0)),
    "v2.Resize([12, 20])": v2.Resize([12, 20]),
    "v2.AutoAugment(policy='cifar10')": v2.AutoAugment(policy=AutoAugmentPolicy.CIFAR10),
    "v2.RandomRotation(30, interpolation='bilinear')": v2.RandomRotation(30, interpolation=InterpolationMode.BILINEAR),
    "v2.RandomApply([v2.GaussianBlur(3)], p=0.5)": v2.RandomApply([v2.GaussianBlur(3)], p=0.5),
    "v2.RandomChoice([v2.RandomSolarize(128, p=1.0), v2.Grayscale(3)])": v2.RandomChoice(
        [v2.RandomSolarize(128, p=1.0), v2.Grayscale(3)]
    ),
}


def pictures(number: int = 5, size: tuple[int, int] = (24, 32)) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, 3, *size), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize("text", CALLS)
def test_v2_transform_is_torchvisions_image_by_image(text: str) -> None:
    images, before = pictures(), pictures()
    result = TorchvisionTransform(text)(images, torch.Generator().manual_seed(5))
    seeds = torch.randint(2**62, (5,), generator=torch.Generator().manual_seed(5)).tolist()
    for seed, image, own in zip(seeds, before, result, strict=True):
        torch.manual_seed(seed)
        assert torch.equal(own, CALLS[text](image))
    assert torch.equal(images, before)


def test_v2_transform_follows_the_generator_and_leaves_the_global_one() -> None:
    transform = TorchvisionTransform(JITTER)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (transform(pictures(), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    alike = transform(pictures(1).expand(4, -1, -1, -1), torch.Generator().manual_seed(3))
    assert len({image.numpy().tobytes() for image in alike}) == 4  # every image has its own draws


def test_v2_transform_of_no_images() -> None:
    assert TorchvisionTransform(JITTER)(pictures(0), torch.Generator()).shape == (0, 3, 24, 32)


def test_v2_and_own_transforms_are_one_chain() -> None:
    cfg = load_config(None, ["INPUT_SIZE", (16, 16), TRANSFORMS, ["normal_resize", JITTER, "random_horizontal_flip"]])
    chain = build_policy("transforms", cfg)
    result = chain(pictures(), torch.Generator().manual_seed(0))
    assert result.shape == (5, 3, 16, 16)
    one = fast_policy(chain)(pictures(1), torch.Generator().manual_seed(0))
    assert one.shape == (1, 3, 16, 16) and one.dtype == torch.uint8


@pytest.mark.parametrize("given", [[JITTER], f"['{JITTER}']".replace("'", '"')])
def test_v2_transforms_come_from_yaml_and_the_command_line(given: Any) -> None:
    assert list(load_config(None, [TRANSFORMS, given]).TRANSFORMS.TRAIN_TRANSFORMS) == [JITTER]


REFUSED = [
    ("v2.ColorJiter(0.4)", r"torchvision has no transform 'v2.ColorJiter'; did you mean v2.ColorJitter\?$"),
    ("v2.ColorJitter(brightnes=1)", r"v2.ColorJitter has no argument 'brightnes'; available: brightness, contrast, .*"),
    ("v2.ColorJitter(brightness=-1)", r"fails in torchvision: .*non negative"),
    ("v2.Identity(a=1)", r"has no argument 'a'; available: none"),
    ("v2.RandomErasing(0.5", r"cannot be read; write it as v2.ColorJitter\(brightness=0.4\)$"),
    ("v2.Lambda(abs)", r"has 'abs', which is neither a literal nor a v2 class$"),
    ("v2.RandomApply([v2.Blur(3)])", r"torchvision has no transform 'v2.Blur'"),
    ("v2.Normalize([0.5], [0.5])", r"fails in torchvision|returns torch.float32"),
    ("v2.ToDtype(1)", r"fails in torchvision|returns"),
    ("v2.FiveCrop(8)", r"returns tuple; it must return a uint8 image \(3, H, W\)$"),
    ("v2.MixUp(num_classes=3)", r"fails in torchvision"),
    ("v2.RandomCrop(99)", r"fails in torchvision: .*larger"),
    ("v2.functional.invert", r"torchvision has no transform 'v2.functional.invert'"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_wrong_v2_transforms_are_refused_in_one_line(text: str, message: str) -> None:
    cfg = load_config(None, ["INPUT_SIZE", (16, 16)])
    with pytest.raises(UserError, match="^TRANSFORMS: .*" + message) as error:
        build_transforms([text], cfg)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["DATASET.VIEWS", ["transforms"], TRANSFORMS, ["v2.Nothing"]],
        ["DATASET.TEST_VIEW", "transforms", "TRANSFORMS.TEST_TRANSFORMS", ["v2.Nothing"]],
    ],
)
def test_wrong_v2_transforms_are_refused_before_data_is_read(overrides: list[Any]) -> None:
    cfg = load_config("digits_lt,ce", ["INPUT_SIZE", (16, 16), *overrides])
    with pytest.raises(UserError, match=r"torchvision has no transform 'v2.Nothing'"):
        check_names(cfg)


@pytest.mark.parametrize("world", [1, 2])
def test_v2_batches_repeat_by_seed_and_from_any_step(world: int) -> None:
    images = ImageSet.from_tensor("set", pictures(16, (16, 16)), labels=[0, 1] * 8, num_classes=2)

    def batches(start: int = 0, seed: int = 0) -> list[Tensor]:
        settings = ["TRAIN.BATCH_SIZE", 4, "RAND_SEED", seed, "DATASET.VIEWS", ["transforms"], TRANSFORMS, [JITTER]]
        loader = build_loaders(load_config(None, settings), Splits(images, images), shard=Shard(0, world)).train
        return [batch.images for batch in loader.epoch(1, start)]

    whole = batches()
    assert all(map(torch.equal, whole, batches())) and all(map(torch.equal, whole[1:], batches(1)))
    assert not torch.equal(whole[0], batches(seed=1)[0])
