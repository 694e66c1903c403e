"""DiVE: distillation of a teacher's softened predictions."""

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction
from longtail.precision import in_float32


class DiVE(Loss):
    """alpha T^2 KL(q || softmax(z / T)) + (1 - alpha) base(z, y) (He et al., arXiv 2103.15042).

    q is softmax(teacher / T), raised to `power` and normalized again, which equals softmax(power * teacher / T). The
    teacher receives no gradient.

    Args:
        base: Loss on the labels, of one head.
        temperature: Temperature T of both softmaxes.
        alpha: Weight of the distillation, from 0 to 1.
        power: Exponent of the teacher's probabilities; below 1 flattens them, 1 does not change them.
    """

    needs_teacher = True

    def __init__(self, base: Loss, *, temperature: float = 3.0, alpha: float = 0.5, power: float = 1.0) -> None:
        super().__init__()
        if base.nested:
            raise UserError("LOSS.DiVEKLD.BASELOSS compares experts; DiVEKLD needs a loss of one expert")
        self.base = base
        self.needs_features = base.needs_features
        self.takes_class_weights = base.takes_class_weights
        self.takes_soft_targets = base.takes_soft_targets
        self.repeatable = base.repeatable
        self.temperature = temperature
        self.alpha = alpha
        self.power = power

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the base loss."""
        self.base.set_epoch(epoch)

    def weigh_classes(self, weights: Tensor, start_epoch: int | None = None) -> None:
        """Set the class weights of the base loss."""
        self.base.weigh_classes(weights, start_epoch)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"distillation"} and the terms of the base loss; only the latter in evaluation without a teacher.

        Raises:
            UserError: There are no teacher logits in training mode.
        """
        terms = self.base.terms(prediction)
        if prediction.teacher_logits is None:
            if self.training:
                raise UserError(
                    "LOSS.LOSS_TYPE DiVEKLD needs the logits of a teacher, which this TRAIN.COMBINER.TYPE does not "
                    "provide; use distillation"
                )
            return terms
        student = (in_float32(prediction.logits) / self.temperature).log_softmax(1)
        flattened = in_float32(prediction.teacher_logits.detach()) * (self.power / self.temperature)
        divergence = F.kl_div(student, flattened.log_softmax(1), reduction="batchmean", log_target=True)
        weighted = {name: (1 - self.alpha) * term for name, term in terms.items()}
        return {"distillation": self.alpha * self.temperature**2 * divergence, **weighted}


@LOSSES.register("DiVEKLD")
def build(cfg: CfgNode, class_counts: list[int]) -> DiVE:
    """Build the loss from LOSS.DiVEKLD, with the base loss named there."""
    keys = cfg.LOSS.DiVEKLD
    if keys.BASELOSS == "DiVEKLD":
        raise UserError("LOSS.DiVEKLD.BASELOSS is 'DiVEKLD'; it must be another loss")
    base = LOSSES.get(keys.BASELOSS)(cfg, class_counts)
    power = keys.POWER if keys.POWER_NORM else 1.0
    return DiVE(base, temperature=keys.TEMPERATURE, alpha=keys.ALPHA, power=power)
