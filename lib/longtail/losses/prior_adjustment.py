"""Balanced softmax and logit adjustment: the class prior inside the training softmax."""

from collections.abc import Sequence

from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, log_prior
from longtail.precision import in_float32


class LogitAdjustment(Loss):
    """Cross-entropy of z_c + tau log(n_c / N) (Menon et al., arXiv 2007.07314, eq. 10); inference uses the raw z.

    tau = 1 is balanced softmax, tau = 0 is plain cross-entropy.

    Args:
        class_counts: Training images per class, (C,).
        tau: Strength of the adjustment.
        prior: "frequencies" adds tau log(n_c / N), "counts" adds tau log n_c; the loss is the same.
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    adjustment: Tensor
    weighs_rows = True
    takes_class_weights = True
    takes_soft_targets = True

    def __init__(
        self,
        class_counts: Sequence[int],
        tau: float = 1.0,
        *,
        prior: str = "frequencies",
        start_epoch: int | None = None,
    ) -> None:
        super().__init__(start_epoch)
        self.register_buffer("adjustment", (tau * log_prior(class_counts, prior)).float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits = in_float32(prediction.logits)
        adjusted = logits + self.adjustment if self.deferral.on else logits
        return {"ce": self.cross_entropy(adjusted, prediction)}


class BalancedSoftmax(LogitAdjustment):
    """Cross-entropy of z_c + log n_c (Ren et al., arXiv 2007.10740, eq. 4); inference uses the raw z.

    Args:
        class_counts: Training images per class, (C,).
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    def __init__(self, class_counts: Sequence[int], start_epoch: int | None = None) -> None:
        super().__init__(class_counts, prior="counts", start_epoch=start_epoch)


@LOSSES.register("BalancedSoftmaxCE")
def build_balanced_softmax(cfg: CfgNode, class_counts: list[int]) -> BalancedSoftmax:
    """Build the loss from TRAIN.TWO_STAGE."""
    return BalancedSoftmax(class_counts, deferred_start(cfg))


@LOSSES.register("LogitAdjustment")
def build_logit_adjustment(cfg: CfgNode, class_counts: list[int]) -> LogitAdjustment:
    """Build the loss from LOSS.LogitAdjustment and TRAIN.TWO_STAGE."""
    return LogitAdjustment(class_counts, cfg.LOSS.LogitAdjustment.TAU, start_epoch=deferred_start(cfg))
