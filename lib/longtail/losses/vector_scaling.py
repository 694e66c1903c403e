"""Vector scaling: a factor and an offset per class inside the training softmax."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, log_prior
from longtail.precision import in_float32


class VectorScaling(Loss):
    """Cross-entropy of z_c / Delta_c + tau log(n_c / N), Delta_c = (n_max / n_c)^gamma.

    Kini et al., arXiv 2103.01550, eq. 3. Inference uses the raw z. gamma = 0 is logit adjustment, tau = 0 is CDT. With
    a weight power t, the loss of a batch is sum_i w_i l_i / sum_i w_i with w_i = (n_y / N)^(-t), y the class of sample
    i: ADRW, Wang et al., NeurIPS 2023, arXiv 2310.04752, as released.

    Args:
        class_counts: Training images per class n_c, (C,).
        gamma: Strength of the factor.
        tau: Strength of the offset.
        weight_power: t.
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    weighs_rows = True
    takes_soft_targets = True
    factor: Tensor
    adjustment: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        gamma: float = 0.05,
        *,
        tau: float = 1.0,
        weight_power: float = 0.0,
        start_epoch: int | None = None,
    ) -> None:
        super().__init__(start_epoch)
        counts = torch.tensor(class_counts, dtype=torch.float64)
        adjustment = tau * log_prior(class_counts, "frequencies")
        self.register_buffer("factor", ((counts / counts.max()) ** gamma).float(), persistent=False)
        self.register_buffer("adjustment", adjustment.float(), persistent=False)
        self.takes_class_weights = weight_power == 0
        if weight_power:
            self.weigh_classes((counts / counts.sum()) ** -weight_power, start_epoch)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits = in_float32(prediction.logits)
        if self.deferral.on:
            logits = logits * self.factor + self.adjustment
        return {"ce": self.cross_entropy(logits, prediction)}


@LOSSES.register("VectorScaling")
def build(cfg: CfgNode, class_counts: list[int]) -> VectorScaling:
    """Build the loss from LOSS.VectorScaling and TRAIN.TWO_STAGE."""
    keys = cfg.LOSS.VectorScaling
    return VectorScaling(
        class_counts, keys.GAMMA, tau=keys.TAU, weight_power=keys.WEIGHT_POWER, start_epoch=deferred_start(cfg)
    )
