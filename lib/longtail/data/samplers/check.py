"""Which samplers go with which other keys."""

from yacs.config import CfgNode

from longtail.config import sampling
from longtail.data.samplers.base import SAMPLERS
from longtail.data.samplers.class_weighted import WEIGHTINGS
from longtail.errors import UserError


def check_sampling(cfg: CfgNode) -> None:
    """Refuse samplers that do not exist and combinations in which one would be ignored.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    chosen = sampling(cfg)
    SAMPLERS.get(chosen.kind)
    WEIGHTINGS.get(chosen.weighting)
    kind = f"TRAIN.SAMPLER.TYPE is {chosen.kind!r}"
    if cfg.TRAIN.TWO_STAGE.DRS and chosen.kind != "weighted sampler":
        raise UserError(f"TRAIN.TWO_STAGE.DRS is True and {kind}; only 'weighted sampler' can be deferred")
