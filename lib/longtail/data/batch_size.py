"""The batch size for a small data set."""

from typing import Any

from yacs.config import CfgNode

FEWEST_STEPS = 8  # per epoch
FEWEST_IMAGES = 2  # of a process and step, for batch norm


def smaller_batch(cfg: CfgNode, images: int, *, processes: int = 1) -> list[Any]:
    """Return overrides that reduce the batch size for a small data set, so that an epoch has at least eight steps.

    The learning rate is scaled in proportion to the batch size.

    Args:
        cfg: Config.
        images: Number of training images.
        processes: Number of processes, each of which takes a batch.

    Returns:
        KEY, VALUE, ...; empty if the batch need not be smaller, or no batch is small enough.
    """
    largest = cfg.TRAIN.BATCH_SIZE
    fitting = min(largest, max(images // (FEWEST_STEPS * processes), FEWEST_IMAGES))
    if fitting == largest or fitting * processes > images:
        return []
    return ["TRAIN.BATCH_SIZE", fitting, "TRAIN.OPTIMIZER.BASE_LR", cfg.TRAIN.OPTIMIZER.BASE_LR * fitting / largest]
