"""CutMix: training on images with a box of another image."""

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.losses import Loss
from longtail.methods.base import Step, TrainingData, stacked_views
from longtail.methods.mixing import Mixing, draw_partners, refuse_unmixable
from longtail.methods.registry import register


class CutMix(Mixing):
    """Replaces a box of each image by that of its partner (Yun et al., arXiv 1905.04899, equations 1 and 2).

    The box has sqrt(1 - lam) of the height and width and a uniform center. As in the release, it is rounded to whole
    pixels and clipped at the border, and the labels are weighted by the actual area: lam becomes 1 - box pixels / all
    pixels.

    Args:
        network: Images to `Output`.
        loss: Loss without a teacher.
        alpha: lam is drawn from Beta(alpha, alpha).
        probability: Probability that a batch (`per_sample`: an image) gets a box.
        per_sample: Draw a box for each row; False: one for the batch, as released.
    """

    def __init__(
        self, network: nn.Module, loss: Loss, *, alpha: float, probability: float = 1.0, per_sample: bool = False
    ) -> None:
        super().__init__(network, loss, alpha=alpha, per_sample=per_sample)
        self.probability = probability

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch."""
        images, targets = stacked_views(batch)
        drawn, partners = self.draw_lam(targets), draw_partners(targets)
        numbers = torch.rand(3, drawn.numel()).to(images.device, non_blocking=True)
        drawn = torch.where(numbers[2] < self.probability, drawn.view(-1), 1.0)
        boxes = box_masks(drawn, numbers[:2], size=(images.shape[2], images.shape[3]))
        output = self.network(torch.where(boxes[:, None], images[partners], images))
        lam = 1 - boxes.float().mean((1, 2))
        return self.step(output, targets, second=targets[partners], lam=lam if self.per_sample else lam[0])


def box_masks(lam: Tensor, centers: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return the pixels inside of boxes, (N, H, W).

    Args:
        lam: Fraction of the image outside of each box before it is clipped at the border, (N,).
        centers: Vertical and horizontal center in [0, 1), (2, N).
        size: Height and width in pixels.
    """
    inside = []
    for length, center in zip(size, centers, strict=True):
        half = torch.floor(length * (1 - lam).sqrt()) // 2
        middle, pixels = torch.floor(length * center), torch.arange(length, device=lam.device)
        inside.append((pixels >= (middle - half)[:, None]) & (pixels < (middle + half)[:, None]))
    return inside[0][:, :, None] & inside[1][:, None]


@register("cutmix")
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> CutMix:
    """Build the method from TRAIN.COMBINER."""
    refuse_unmixable(cfg, loss)
    keys = cfg.TRAIN.COMBINER
    return CutMix(network, loss, alpha=keys.ALPHA, probability=keys.CUTMIX.PROBABILITY, per_sample=keys.PER_SAMPLE)
