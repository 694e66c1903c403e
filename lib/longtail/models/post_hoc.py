"""What can be done about the tail after training: other class weights, or other logits, on the same features.

tau-normalisation: Kang et al., ICLR 2020, arXiv 1910.09217, eq. 4. Post-hoc logit adjustment: Menon et al., ICLR 2021,
arXiv 2007.07314, eq. 9.
"""

import copy

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.models.experts import Expert, Network, Output


class Readout(nn.Module):
    """From the features of E experts to their logits.

    Args:
        heads: one per expert, features (B, D) to logits (B, C).
        offset: what is subtracted from the logits, (C,).
    """

    offset: Tensor

    def __init__(self, heads: list[nn.Module], offset: Tensor) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.register_buffer("offset", offset)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (E, B, C), float32, of features (E, B, D)."""
        logits = torch.stack([head(one) for head, one in zip(self.heads, features, strict=True)])
        return logits.float() - self.offset


class Reread(nn.Module):
    """A trained network whose logits are read out of its features anew.

    Args:
        network: gives the features.
        readout: features (E, B, D) to logits (E, B, C).
    """

    def __init__(self, network: nn.Module, readout: Readout) -> None:
        super().__init__()
        self.network = network
        self.readout = readout

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, C) and features (E, B, D) of images (B, 3, H, W)."""
        features = self.network(images).features
        return Output(self.readout(features), features)


def tau_normalized(head: nn.Module, tau: float, keep_bias: bool = True) -> nn.Linear:
    """Return a copy of a linear head with w_c / |w_c|^tau for the weights of each class c.

    Args:
        head: stays as it is.
        tau: 0 changes nothing, 1 gives all classes weights of one length.
        keep_bias: False drops the bias.

    Raises:
        UserError: the head is not linear.
    """
    if not isinstance(head, nn.Linear):
        raise UserError("TEST.TAU_NORM needs a head with a weight matrix: CLASSIFIER.TYPE FC or cRT")
    made = copy.deepcopy(head)
    with torch.no_grad():
        made.weight /= made.weight.norm(dim=1, keepdim=True).clamp_min(1e-12) ** tau
        if made.bias is not None and not keep_bias:
            made.bias.zero_()
    return made


def build_readout(cfg: CfgNode, network: Network, class_counts: list[int]) -> Readout:
    """Build what TEST.TAU_NORM and TEST.LOGIT_ADJUSTMENT say, on the device of the network.

    Args:
        cfg: the configuration tree.
        network: whose heads are read.
        class_counts: training images of each class, C of them.

    Raises:
        UserError: the heads have no weight matrix to normalise.
    """
    norm = cfg.TEST.TAU_NORM
    heads = []
    for expert in network.experts:
        assert isinstance(expert, Expert)
        heads.append(tau_normalized(expert.head, norm.TAU, norm.KEEP_BIAS) if norm.USE_TAU_NORM else expert.head)
    counts = torch.tensor(class_counts, dtype=torch.float32, device=next(network.parameters()).device)
    return Readout(heads, cfg.TEST.LOGIT_ADJUSTMENT * (counts / counts.sum()).log())


def reads_anew(cfg: CfgNode) -> bool:
    """Return whether the tree asks for other logits than those of the network."""
    return bool(cfg.TEST.TAU_NORM.USE_TAU_NORM or cfg.TEST.LOGIT_ADJUSTMENT)
