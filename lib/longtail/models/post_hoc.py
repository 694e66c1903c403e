"""Post-hoc corrections for the tail: other class weights, or other logits, on the same features.

tau-normalization: Kang et al., ICLR 2020, arXiv 1910.09217, eq. 4. Post-hoc logit adjustment: Menon et al., ICLR 2021,
arXiv 2007.07314, eq. 9. Temperature scaling: Guo et al., ICML 2017, arXiv 1706.04599, sec. 4.2.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.models.heads import logits_of
from longtail.models.output import Output
from longtail.models.priors import check_populated, prior_offset


class AdjustedHeads(nn.Module):
    """From the features of E heads to their adjusted logits.

    Args:
        heads: Heads, features (B, D) to logits (B, C).
        offset: Offset that is subtracted from the divided logits, (C,).
        temperature: Divides the logits.
    """

    offset: Tensor

    def __init__(self, heads: list[nn.Module], offset: Tensor, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.temperature = temperature
        self.register_buffer("offset", offset)

    def forward(self, features: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Return logits (E, B, C), float32, of features (E, B, D), or of a tuple of (B, D_e)."""
        logits = torch.stack([logits_of(head, feature) for head, feature in zip(self.heads, features, strict=True)])
        return logits / self.temperature - self.offset


class PostHocClassifier(nn.Module):
    """A trained network whose logits are computed from its features by adjusted heads.

    Args:
        network: Images to `Output`.
        adjusted: Features to adjusted logits.
    """

    def __init__(self, network: nn.Module, adjusted: AdjustedHeads) -> None:
        super().__init__()
        self.network = network
        self.adjusted = adjusted

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, C) and features of images (B, 3, H, W)."""
        features = self.network(images).features
        return Output(self.adjusted(features), features)


def tau_normalized(head: nn.Module, tau: float, *, keep_bias: bool = True) -> nn.Linear:
    """Return a copy of a linear head with w_c / |w_c|^tau as the weight of each class c.

    Args:
        head: Linear head; it is not changed.
        tau: Exponent: 0 changes nothing, 1 scales the weights of all classes to the same length.
        keep_bias: False drops the bias.

    Raises:
        UserError: The head is not linear.
    """
    if not isinstance(head, nn.Linear):
        raise UserError("TEST.TAU_NORM needs a head with a weight matrix: CLASSIFIER.TYPE FC or cRT")
    normalized = copy.deepcopy(head)
    with torch.no_grad():
        normalized.weight /= normalized.weight.norm(dim=1, keepdim=True).clamp_min(1e-12) ** tau
        if normalized.bias is not None and not keep_bias:
            normalized.bias.zero_()
    return normalized


def build_adjusted_heads(cfg: CfgNode, heads: Sequence[nn.Module], *, class_counts: Sequence[int]) -> AdjustedHeads:
    """Build the heads with the corrections of TEST, on the device of the given ones.

    Their logits are (z_c - LOGIT_ADJUSTMENT * log(n_c / N) + CLASS_OFFSETS_c) / TEMPERATURE + log(pi_c) - log(1 / C),
    see `prior_offset`. Without a prior, the temperature does not change predictions.

    Args:
        cfg: Config.
        heads: Heads of the network.
        class_counts: Training images per class, (C,).

    Raises:
        UserError: The heads have no weight matrix to normalize, there is no such prior, CLASS_OFFSETS does not have C
            values, or a class has no training images and its frequency is needed.
    """
    test, norm = cfg.TEST, cfg.TEST.TAU_NORM
    adjusted = list(heads)
    if norm.USE_TAU_NORM:
        adjusted = [tau_normalized(head, norm.TAU, keep_bias=norm.KEEP_BIAS) for head in heads]
    counts = torch.tensor(class_counts, dtype=torch.float32, device=next(heads[0].parameters()).device)
    offset = -_class_offsets(test.CLASS_OFFSETS, counts)
    if test.LOGIT_ADJUSTMENT:
        check_populated(class_counts, "TEST.LOGIT_ADJUSTMENT")
        offset += test.LOGIT_ADJUSTMENT * (counts / counts.sum()).log()
    prior = prior_offset(test.PRIOR, class_counts).to(offset.device)
    return AdjustedHeads(adjusted, offset / test.TEMPERATURE - prior, temperature=test.TEMPERATURE)


def _class_offsets(values: Sequence[float], counts: Tensor) -> Tensor:
    """Return TEST.CLASS_OFFSETS as a tensor like the class counts, (C,); zeros if it is empty."""
    if not values:
        return torch.zeros_like(counts)
    if len(values) != len(counts):
        raise UserError(
            f"TEST.CLASS_OFFSETS has {len(values)} values; it must have {len(counts)}, one per class, or none"
        )
    return counts.new_tensor(values)


def uses_post_hoc(cfg: CfgNode) -> bool:
    """Return whether the config corrects the logits of the network."""
    test = cfg.TEST
    scaled = test.TEMPERATURE != 1 or test.CLASS_OFFSETS
    return bool(test.TAU_NORM.USE_TAU_NORM or test.LOGIT_ADJUSTMENT or test.PRIOR != "uniform" or scaled)
