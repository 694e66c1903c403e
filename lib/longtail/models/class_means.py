"""Heads that start from class means instead of random weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.models.heads import HEADS, CosineHead, CosNormHead, NormHead, l2_normalize

COSINES = (NormHead, CosineHead, CosNormHead)


@torch.no_grad()
def start_from_class_means(heads: Sequence[nn.Module], features: Tensor | Sequence[Tensor], *, labels: Tensor) -> None:
    """Set the weight of each class to the mean direction of its features, with unit length; a bias becomes zero.

    Before training, such a head is the nearest-class-mean classifier of unit features.

    Args:
        heads: Cosine heads.
        features: Input of each head for all N images, (E, N, D) or E times (N, D_e).
        labels: Class ids, (N,).
    """
    for head, own in zip(heads, features, strict=True):
        assert isinstance(head, COSINES)
        weight = head.weight
        # On the CPU, because the order of additions on a GPU varies.
        sums = torch.zeros(weight.shape).index_add_(0, labels.cpu(), l2_normalize(own).float().cpu())
        weight.copy_(l2_normalize(sums))
        if isinstance(head, CosineHead):
            head.bias.zero_()


def check_class_means(cfg: CfgNode) -> None:
    """Refuse CLASSIFIER.START class_means for a head whose logits are not cosines.

    Raises:
        UserError: They are not; the message names the heads that are allowed.
    """
    if cfg.CLASSIFIER.START != "class_means":
        return
    with torch.device("meta"):  # costs neither memory nor random numbers
        head = HEADS.get(cfg.CLASSIFIER.TYPE)(cfg, 1, 1)
    if not isinstance(head, COSINES):
        raise UserError(
            f"CLASSIFIER.START is 'class_means', which needs a cosine head; CLASSIFIER.TYPE is "
            f"{cfg.CLASSIFIER.TYPE}, it must be cos, FCNorm, NormedLinear or cosnorm"
        )
