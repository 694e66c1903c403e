"""What the training methods that mix images have in common: a share, partners, and a loss between two targets."""

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Method, Mixed, Step, expert_terms
from longtail.methods.plain import require_single
from longtail.models import Output


class Mixing(Method):
    """Training on mixtures of two images: share * L(z, first) + (1 - share) * L(z, second), summed over the experts.

    Random numbers come from torch's generator of the CPU, whose state is in checkpoints.

    Args:
        network: may be wrapped for several devices.
        loss: of one expert.
        alpha: the share is drawn from Beta(alpha, alpha).
    """

    def __init__(self, network: nn.Module, loss: Loss, alpha: float) -> None:
        super().__init__(network, loss)
        both = torch.tensor(alpha, dtype=torch.float64)  # a small alpha underflows in float32
        self.beta = torch.distributions.Beta(both, both)

    def draw_share(self, device: torch.device) -> Tensor:
        """Draw the share of the first images, scalar."""
        return self.beta.sample().float().to(device, non_blocking=True)

    def step(self, output: Output, first: Tensor, second: Tensor, share: Tensor) -> Step:
        """Return the step for mixtures.

        Args:
            output: of the network, for N mixtures.
            first: class ids of the images that have `share`, (N,).
            second: those of the others, (N,).
            share: scalar.
        """
        terms = expert_terms(self.loss, output, first)
        others = expert_terms(self.loss, output, second)
        terms = {name: share * term + (1 - share) * others[name] for name, term in terms.items()}
        loss = torch.stack(list(terms.values())).sum()
        parts = {name: term.detach() for name, term in terms.items()}
        return Step(loss, output.logits.detach(), first, parts, Mixed(second, share))


def draw_partners(rows: Tensor) -> Tensor:
    """Draw a permutation of N rows, (N,), on their device."""
    return torch.randperm(len(rows)).to(rows.device, non_blocking=True)


def require_mixable(cfg: CfgNode, loss: Loss) -> None:
    """Refuse a loss that mixtures cannot be trained with.

    Raises:
        UserError: names the loss and the method that goes with it.
    """
    require_single(cfg, loss)
    if loss.needs_features:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} needs the features of single images; TRAIN.COMBINER.TYPE must be "
            f"plain (default), not {cfg.TRAIN.COMBINER.TYPE}"
        )
