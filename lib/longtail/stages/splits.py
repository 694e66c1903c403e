"""What a training checks in its splits, and how it describes them."""

import torch
from yacs.config import CfgNode

from longtail.data import Splits
from longtail.errors import UserError
from longtail.evaluation import GROUPS, shot_groups
from longtail.losses import Loss
from longtail.methods import METHODS, method_entry


def check_selection(cfg: CfgNode, splits: Splits) -> None:
    """Refuse a TEST.SELECT_BY that cannot be computed from the validation images.

    Raises:
        UserError: No validation image belongs to a class of that shot group.
    """
    classes = shot_groups(splits.train.class_counts(), cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT)
    group = classes.get(cfg.TEST.SELECT_BY)
    if group is not None and not torch.isin(splits.valid.labels, torch.tensor(group, dtype=torch.int64)).any():
        raise UserError(
            f"TEST.SELECT_BY is {cfg.TEST.SELECT_BY!r}, but {splits.valid.name} has no images of such classes "
            f"(TEST.MANY_SHOT {cfg.TEST.MANY_SHOT}, TEST.FEW_SHOT {cfg.TEST.FEW_SHOT})"
        )


def check_sample_weights(cfg: CfgNode, splits: Splits, loss: Loss) -> None:
    """Refuse training images with weights for a loss or a method that would ignore them.

    Raises:
        UserError: They would be ignored; the message names the loss or the method, and what to use instead.
    """
    if splits.train.weights is None:
        return
    if not loss.weighs_rows:
        raise UserError(
            f"{splits.train.name} has sample weights, but LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} does not have a loss for "
            "each image; use a loss of one head, or remove the weights"
        )
    if not method_entry(cfg).weighs_samples:
        users = ", ".join(name for name in METHODS if METHODS.get(name).weighs_samples)
        raise UserError(
            f"{splits.train.name} has sample weights, which TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} does not "
            f"use; allowed: {users}"
        )


def describe_data(cfg: CfgNode, splits: Splits) -> str:
    """Return a description of the images in one line."""
    counts = splits.train.class_counts()
    groups = shot_groups(counts, cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT)
    shots = ", ".join(f"{len(groups[name])} {name}" for name in GROUPS if groups.get(name))
    generated = f" and {splits.train.num_generated:,} generated ones" if splits.train.num_generated else ""
    test = f", {len(splits.test):,} test images (longtail valid RUN --split test)" if splits.test else ""
    return (
        f"{splits.train.num_original:,} training images{generated} in {len(counts)} classes ({max(counts):,} to "
        f"{min(counts):,}, imbalance {max(counts) / min(counts):.4g}: {shots}), {len(splits.valid):,} validation images"
        f"{test}"
    )
