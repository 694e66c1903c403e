"""Momentum branches in the weights files from which a training starts."""

import logging

from torch import nn
from yacs.config import CfgNode

from longtail.models import check_finite, load_momentum_branch, momentum_branch, read_weights

logger = logging.getLogger(__name__)


def load_momentum_files(cfg: CfgNode, holder: nn.Module, *, queue_must_fit: bool = True) -> None:
    """Load key encoder and queue from NETWORK.PRETRAINED_MODEL and RESUME_MODEL, if these files have them.

    Args:
        cfg: Config.
        holder: Has the submodules `key_encoder` and `queue`.
        queue_must_fit: See `load_momentum_branch`.

    Raises:
        UserError: A file cannot be read, a shape differs, or a value is infinite or NaN.
    """
    settings = cfg.NETWORK
    files = [settings.PRETRAINED_MODEL] * settings.PRETRAINED + [cfg.RESUME_MODEL] * (cfg.RESUME_MODE == "state_dict")
    for path in filter(None, files):
        weights = read_weights(path)
        if momentum_branch(weights):
            report = load_momentum_branch(holder, weights, queue_must_fit=queue_must_fit)
            check_finite(path, holder.state_dict())
            logger.info("weights of %s: %d of the momentum branch loaded", path, len(report.loaded))
            for reshaped in report.reshaped:
                logger.warning("weights of %s: skipped: %s", path, reshaped)
