"""Base class of the mixup methods: lam, partners, and a loss with two targets."""

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Method, Mixed, Step, loss_terms
from longtail.methods.supervised import refuse_teacher
from longtail.models import Output


class Mixing(Method):
    """Training on mixtures of two images: lam * L(z, first) + (1 - lam) * L(z, second).

    Random numbers come from torch's CPU generator, whose state is saved in checkpoints.

    Args:
        network: Images to `Output`.
        loss: Loss without a teacher.
        alpha: lam is drawn from Beta(alpha, alpha) and may be below 0.5, so that the second image has more weight.
        per_sample: Draw a lam for each row; False: one for the batch, as both releases do.
    """

    def __init__(self, network: nn.Module, loss: Loss, *, alpha: float, per_sample: bool = False) -> None:
        super().__init__(network, loss)
        both = torch.tensor(alpha, dtype=torch.float64)  # a small alpha underflows in float32
        self.beta = torch.distributions.Beta(both, both)
        self.per_sample = per_sample

    def draw_lam(self, targets: Tensor) -> Tensor:
        """Draw lam for N rows with the given labels (N,): () or (N,), on the device of the labels."""
        shape = targets.shape if self.per_sample else torch.Size()
        return self.beta.sample(shape).float().to(targets.device, non_blocking=True)

    def step(self, output: Output, first: Tensor, *, second: Tensor, lam: Tensor) -> Step:
        """Return the step for mixtures.

        Args:
            output: Output of the network for N mixtures.
            first: Class ids of the images with weight lam, (N,).
            second: Class ids of the others, (N,).
            lam: () or (N,).
        """
        if lam.dim():
            terms = loss_terms(self.loss, output, targets=first, row_weights=lam)
            others = loss_terms(self.loss, output, targets=second, row_weights=1 - lam)
            mixed = {name: term + others[name] for name, term in terms.items()}
        else:
            terms = loss_terms(self.loss, output, targets=first)
            others = loss_terms(self.loss, output, targets=second)
            mixed = {name: lam * term + (1 - lam) * others[name] for name, term in terms.items()}
        return Step.of(mixed, output, targets=first, mixed=Mixed(second, lam))


def draw_partners(rows: Tensor) -> Tensor:
    """Draw a permutation of N rows, (N,), on their device."""
    return torch.randperm(len(rows)).to(rows.device, non_blocking=True)


def refuse_unmixable(cfg: CfgNode, loss: Loss) -> None:
    """Refuse a loss that cannot be trained with mixtures.

    Raises:
        UserError: It cannot; the message names the loss and what to use instead.
    """
    refuse_teacher(cfg, loss)
    if loss.needs_features:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} needs the features of single images; TRAIN.COMBINER.TYPE must be "
            f"supervised, not {cfg.TRAIN.COMBINER.TYPE}"
        )
    if cfg.TRAIN.COMBINER.PER_SAMPLE and not loss.weighs_rows:
        raise UserError(
            f"TRAIN.COMBINER.PER_SAMPLE is True, but LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} does not have a loss for each "
            "image; set it to False, or use a loss of one head, CascadeSoftmax or CascadeSigmoid"
        )
