"""Checks of the sampler keys against other keys."""

from yacs.config import CfgNode

from longtail.data.samplers.base import SAMPLERS
from longtail.data.samplers.class_weighted import WEIGHTINGS
from longtail.errors import UserError


def check_sampling(cfg: CfgNode) -> None:
    """Check that the samplers exist, and that only a sampler that can be deferred is.

    Raises:
        UserError: They do not; the message names the key, its value and what is allowed.
    """
    sampler = cfg.TRAIN.SAMPLER
    SAMPLERS.get(sampler.TYPE)
    WEIGHTINGS.get(sampler.WEIGHTED_SAMPLER.TYPE)
    if cfg.TRAIN.TWO_STAGE.DRS and sampler.TYPE != "weighted sampler":
        raise UserError(
            f"TRAIN.TWO_STAGE.DRS is True and TRAIN.SAMPLER.TYPE is {sampler.TYPE!r}; only 'weighted sampler' can be "
            "deferred"
        )
