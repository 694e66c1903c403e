"""Softmax equalization loss: large classes do not push small ones down."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, in_float32, is_target


class SoftmaxEqualization(Loss):
    """-log(e^{z_y} / sum_k w_k e^{z_k}), w_k 0 or 1 (Tan et al., arXiv 2003.05176).

    w_k = 1 - b_k T_k (1 - [k = y]): T_k = 1 where class k has less than `tail_share` of the training images, b_k a
    coin of its own for each sample and class that falls on 1 with probability `gamma`. Classes with w_k = 0 leave the
    softmax before anything is exponentiated. The coins come from torch's generator on the device of the logits.

    Args:
        class_counts: training images of each class, (C,).
        gamma: probability that a small class is left out.
        tail_share: share of the training images below which a class is small.
    """

    tail: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float, tail_share: float) -> None:
        super().__init__()
        self.gamma = gamma
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("tail", counts / counts.sum() < tail_share, persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        coins = torch.rand_like(logits) < self.gamma
        left_out = coins & self.tail & ~is_target(targets, logits.shape[1])
        return {"ce": F.cross_entropy(logits.masked_fill(left_out, -torch.inf), targets)}


@LOSSES.register("SEQL")
def build(cfg: CfgNode, class_counts: list[int]) -> SoftmaxEqualization:
    """Build it from LOSS.SEQL; deferred re-weighting has no effect on it, as in the release."""
    return SoftmaxEqualization(class_counts, cfg.LOSS.SEQL.GAMMA, cfg.LOSS.SEQL.LAMBDA)
