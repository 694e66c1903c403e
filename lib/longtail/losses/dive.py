"""DiVE: the virtual examples of a teacher, distilled into a student."""

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, in_float32


class DiVE(Loss):
    """alpha T^2 KL(q || softmax(z / T)) + (1 - alpha) base(z, y) (He et al., arXiv 2103.15042).

    q is softmax(teacher / T), with `power` raised to that power and scaled to sum 1 again, which is the
    softmax of power * teacher / T. The teacher receives no gradient.

    Args:
        base: loss on the labels, of one expert.
        temperature: T.
        alpha: share of the distillation.
        power: flattens the teacher's output below 1; 1 leaves it.
    """

    needs_teacher = True

    def __init__(self, base: Loss, temperature: float = 3.0, alpha: float = 0.5, power: float = 1.0) -> None:
        super().__init__()
        if base.nested:
            raise UserError("LOSS.DiVEKLD.BASELOSS compares experts; DiVEKLD needs a loss of one expert")
        self.base = base
        self.needs_features = base.needs_features
        self.temperature = temperature
        self.alpha = alpha
        self.power = power

    def set_epoch(self, epoch: int) -> None:
        """Tell the base loss."""
        self.base.set_epoch(epoch)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"distillation"} and the terms of the base loss; in evaluation without a teacher the latter alone.

        See `Loss.terms`.

        Raises:
            UserError: there are no teacher logits in training.
        """
        terms = self.base.terms(logits, targets, features)
        if teacher_logits is None:
            if self.training:
                raise UserError(
                    "LOSS.LOSS_TYPE DiVEKLD needs the logits of a teacher, which this TRAIN.COMBINER.TYPE does not "
                    "pass on; use dive"
                )
            return terms
        student = (in_float32(logits) / self.temperature).log_softmax(1)
        teacher = (in_float32(teacher_logits.detach()) * (self.power / self.temperature)).log_softmax(1)
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        weighted = {name: (1 - self.alpha) * term for name, term in terms.items()}
        return {"distillation": self.alpha * self.temperature**2 * divergence, **weighted}


@LOSSES.register("DiVEKLD")
def build(cfg: CfgNode, class_counts: list[int]) -> DiVE:
    """Build it from LOSS.DiVEKLD, with the base loss that is named there."""
    keys = cfg.LOSS.DiVEKLD
    if keys.BASELOSS == "DiVEKLD":
        raise UserError("LOSS.DiVEKLD.BASELOSS is 'DiVEKLD'; it must be another loss")
    base = LOSSES.get(keys.BASELOSS)(cfg, class_counts)
    return DiVE(base, keys.TEMPERATURE, keys.ALPHA, keys.POWER if keys.POWER_NORM else 1.0)
