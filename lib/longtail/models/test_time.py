"""Test-time augmentation, TEST.TTA: the mean of the logits over several views of an image.

Logits are averaged, not probabilities, as in timm's validation, in LIFT (Shi et al., ICML 2024, arXiv 2309.10019) and
in the ensemble of experts here.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.output import Output

Views = Callable[[Tensor], list[Tensor]]  # images (B, 3, H, W) to V times (B, 3, h, w)


def one_view(images: Tensor) -> list[Tensor]:
    """Return the unchanged images as the only view."""
    return [images]


def flip_views(images: Tensor) -> list[Tensor]:
    """Return the images and their mirror images."""
    return [images, images.flip(-1)]


class FiveCrops:
    """The four corners and the center of images, the center first.

    Args:
        size: Height and width of the crops; None: those of the images before they are padded.
        padding: Pixels that are added on each side.
        fill: Value of the added pixels, (1, 3, 1, 1).
    """

    def __init__(self, size: tuple[int, int] | None, *, padding: int = 0, fill: Tensor | None = None) -> None:
        self.size = size
        self.padding = padding
        self.fill = torch.zeros(1, 3, 1, 1) if fill is None else fill

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return five crops (B, 3, h, w) of images (B, 3, H, W)."""
        rows, columns = self.size or (images.shape[2], images.shape[3])
        if self.padding:
            fill = self.fill.to(images.device)
            images = F.pad(images - fill, [self.padding] * 4) + fill
        bottom, right = images.shape[2] - rows, images.shape[3] - columns
        corners = [(_half(bottom), _half(right)), (0, 0), (0, right), (bottom, 0), (bottom, right)]
        return [images[:, :, top : top + rows, left : left + columns] for top, left in corners]


def _half(room: int) -> int:
    """Return round(room / 2), half to even; `torch.jit.trace` makes tensors of shapes, which have no round."""
    return (room + room // 2 % 2) // 2


class SeveralViews(nn.Module):
    """A network that is applied to several views of an image.

    Args:
        network: Images to `Output`.
        views: Images to their views.
    """

    def __init__(self, network: nn.Module, views: Views) -> None:
        super().__init__()
        self.network = network
        self.views = views

    def outputs(self, images: Tensor) -> list[Output]:
        """Return the output for each view of images (B, 3, H, W)."""
        return [self.network(view) for view in self.views(images)]


class MeanLogits(SeveralViews):
    """A network whose logits are the mean over the views."""

    def forward(self, images: Tensor) -> Output:
        """Return the mean logits (E, B, C), float32, and the features of the first view, of images (B, 3, H, W)."""
        outputs = self.outputs(images)
        return Output(torch.stack([output.logits.float() for output in outputs]).mean(dim=0), outputs[0].features)


class StackedFeatures(SeveralViews):
    """A network whose features are those of all views, (B, V, D_e) of every head."""

    def forward(self, images: Tensor) -> Output:
        """Return the logits of the first view and the features of all, of images (B, 3, H, W)."""
        outputs = self.outputs(images)
        features = zip(*(output.features for output in outputs), strict=True)
        return Output(outputs[0].logits, tuple(torch.stack(head, dim=1) for head in features))
