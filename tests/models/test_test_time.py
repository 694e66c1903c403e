"""Test-time augmentation."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import five_crop

from longtail.models import FiveCrops, MeanLogits, Output, StackedFeatures, flip_views, one_view


class Sides(nn.Module):
    """A network that is not symmetric: two heads on weighted columns."""

    def forward(self, images: Tensor) -> Output:
        columns = images.mean(dim=(1, 2))
        weights = torch.linspace(0, 1, columns.shape[1])
        features = torch.stack([columns * weights, columns * weights**2]).sum(dim=2, keepdim=True)
        return Output(torch.cat([features, -features], dim=2), features)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_flip_is_the_mean_of_image_and_mirror_image(images: Tensor) -> None:
    network = Sides()
    wanted = torch.stack([(network(image[None]).logits + network(image[None].flip(3)).logits) / 2 for image in images])
    assert torch.allclose(MeanLogits(network, flip_views)(images).logits, wanted[:, :, 0].transpose(0, 1))


def test_flip_of_a_flipped_image_is_the_same_prediction(images: Tensor) -> None:
    network = MeanLogits(Sides(), flip_views)
    assert torch.equal(network(images).logits, network(images.flip(3)).logits)
    assert not torch.equal(Sides()(images).logits, Sides()(images.flip(3)).logits)


def test_five_crops_are_the_center_and_the_corners(images: Tensor) -> None:
    center, *corners = FiveCrops((6, 6))(images)
    assert torch.equal(center, images[:, :, 1:7, 1:7])
    wanted = [images[:, :, :6, :6], images[:, :, :6, 2:], images[:, :, 2:, :6], images[:, :, 2:, 2:]]
    assert all(torch.equal(crop, part) for crop, part in zip(corners, wanted, strict=True))


@pytest.mark.parametrize("size", [(5, 7), (7, 5), (8, 3)])
def test_five_crops_are_those_of_torchvision(images: Tensor, size: tuple[int, int]) -> None:
    *corners, center = five_crop(images, list(size))
    for crop, wanted in zip(FiveCrops(size)(images), (center, *corners), strict=True):
        assert torch.equal(crop, wanted)


@pytest.mark.parametrize("crops", [FiveCrops((5, 3)), FiveCrops(None, padding=1)], ids=["size", "padding"])
def test_traced_five_crops_are_those_of_any_image(images: Tensor, crops: FiveCrops) -> None:
    traced = torch.jit.trace(lambda batch: tuple(crops(batch)), images, check_trace=False)
    for other in (images, images[:2, :, :7], torch.randn(1, 3, 10, 9)):
        assert all(torch.equal(crop, wanted) for crop, wanted in zip(traced(other), crops(other), strict=True))


def test_five_crops_of_padded_images_have_their_size_and_the_fill(images: Tensor) -> None:
    fill = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None]
    center, first, *_ = FiveCrops(None, padding=2, fill=fill)(images)
    assert torch.allclose(center, images, atol=1e-6) and first.shape == images.shape
    assert torch.equal(first[:, :, :2], fill.expand(5, 3, 2, 8))
    assert torch.allclose(first[:, :, 2:, 2:], images[:, :, :6, :6], atol=1e-6)


def test_mean_logits_equal_a_naive_loop(images: Tensor) -> None:
    network, crops = Sides(), FiveCrops((6, 6))
    found = MeanLogits(network, crops)(images).logits
    for index, image in enumerate(images):
        logits = [network(crop).logits[:, 0] for crop in crops(image[None])]
        assert torch.allclose(found[:, index], sum(logits[1:], logits[0]) / 5)


def test_stacked_features_have_one_row_per_view(images: Tensor) -> None:
    features = StackedFeatures(Sides(), flip_views)(images).features
    assert [tuple(head.shape) for head in features] == [(5, 2, 1)] * 2
    assert torch.equal(features[0][:, 1], Sides()(images.flip(3)).features[0])
    assert torch.equal(StackedFeatures(Sides(), one_view)(images).features[1][:, 0], Sides()(images).features[1])
