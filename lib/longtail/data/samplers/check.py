"""Checks of the sampler keys against other keys."""

from yacs.config import CfgNode

from longtail.config import method_name, sampling
from longtail.data.samplers.base import SAMPLERS
from longtail.data.samplers.class_weighted import WEIGHTINGS
from longtail.errors import UserError

METHODS_WITH_PARTNERS = ("plain", "bbn_mixup")


def check_sampling(cfg: CfgNode) -> None:
    """Check that the samplers exist and that none of their keys would be ignored.

    Raises:
        UserError: Names the key, its value and what is allowed.
    """
    chosen = sampling(cfg)
    SAMPLERS.get(chosen.kind)
    WEIGHTINGS.get(chosen.weighting)
    kind = f"TRAIN.SAMPLER.TYPE is {chosen.kind!r}"
    if cfg.TRAIN.TWO_STAGE.DRS and chosen.kind != "weighted sampler":
        raise UserError(f"TRAIN.TWO_STAGE.DRS is True and {kind}; only 'weighted sampler' can be deferred")
    if chosen.kind == "bbn sampler" and method_name(cfg) not in METHODS_WITH_PARTNERS:
        raise UserError(
            f"{kind}, which draws pairs of batches; TRAIN.COMBINER.TYPE must be default or bbn_mix, "
            f"not {cfg.TRAIN.COMBINER.TYPE}"
        )
