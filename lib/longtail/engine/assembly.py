"""From the tree to the parts of a run; the last place that sees the tree."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.data import Splits
from longtail.engine.optim import learning_rates
from longtail.engine.trainer import Schedule
from longtail.errors import UserError
from longtail.evaluation import Judge, shot_groups
from longtail.models import (
    Expert,
    LoadReport,
    Network,
    build_model,
    load_backbone_weights,
    load_released_weights,
    needs_first_stage,
    read_checkpoint,
    read_weights,
    start_from,
    weights_in,
)

logger = logging.getLogger(__name__)

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_network(cfg: CfgNode, num_classes: int) -> Network:
    """Build the network of a training and fill it with the weights that the tree lets it start from.

    Raises:
        UserError: a weights file is missing, damaged or does not fit.
    """
    network = build_model(cfg, num_classes)
    if cfg.BACKBONE.PRETRAINED_MODEL:
        weights = read_weights(cfg.BACKBONE.PRETRAINED_MODEL)
        for expert in network.experts:
            assert isinstance(expert, Expert)
            _report(cfg.BACKBONE.PRETRAINED_MODEL, load_backbone_weights(expert.backbone, weights))
    if cfg.NETWORK.PRETRAINED:
        _load(cfg, network, cfg.NETWORK.PRETRAINED_MODEL, start_from)
    if cfg.RESUME_MODEL and cfg.RESUME_MODE == "state_dict":
        _load(cfg, network, cfg.RESUME_MODEL, load_released_weights)
    return in_layout(cfg, network)


def in_layout(cfg: CfgNode, network: Network) -> Network:
    """Return the network in the memory layout that the tree wants."""
    return network.to(memory_format=torch.channels_last) if cfg.TRAIN.CHANNELS_LAST else network


def read_trained(cfg: CfgNode, path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a whole network, and warn where they were trained in another one than the tree's.

    Heads of several kinds have parameters of one name and shape, so that loading alone would not tell.

    Raises:
        UserError: the file is missing, damaged, or holds no weights.
    """
    content = read_checkpoint(path)
    trained, wanted = content.get("architecture"), architecture(cfg)
    if trained not in (None, wanted) and not needs_first_stage(cfg):
        logger.warning("weights of %s were trained as %s; here they are taken for %s", path, trained, wanted)
    return weights_in(content, path)


def _load(cfg: CfgNode, network: Network, path: str, load: Callable[[Network, dict[str, Tensor]], LoadReport]) -> None:
    weights = read_trained(cfg, path)
    try:
        _report(path, load(network, weights))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _report(path: str | Path, report: LoadReport) -> None:
    logger.info("weights of %s: %d parameters loaded", path, len(report.loaded))
    for what, names in (("missing in the file", report.missing), ("not used", report.unexpected)):
        if names:
            logger.warning("weights of %s: %d %s: %s", path, len(names), what, ", ".join(names[:5]))


def architecture(cfg: CfgNode) -> str:
    """Return what the parameters of a network depend on, in words."""
    names = expert_backbones(cfg)
    kinds = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    heads = f"{' + '.join(kinds)} with {cfg.CLASSIFIER.TYPE} heads"
    if not cfg.NETWORK.MOCO:
        return heads
    width, length = cfg.NETWORK.MOCO_DIM, cfg.NETWORK.MOCO_K
    return f"{heads}, {cfg.CLASSIFIER.SEMI_TYPE} projections to {width} and queues of {length} keys"


def autocast(precision: str, device: torch.device) -> Callable[[], torch.autocast]:
    """Return a maker of the mixed-precision context; precision: off, bf16 or fp16."""
    dtype = DTYPES[precision]
    return lambda: torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def judge_maker(cfg: CfgNode, class_counts: list[int], experts: int, device: torch.device) -> Callable[[], Judge]:
    """Return a maker of empty judges."""
    many, few = cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT
    return lambda: Judge(len(class_counts), experts, class_counts, many=many, few=few, device=device)


def schedule(cfg: CfgNode) -> Schedule:
    """Return when things happen."""
    return Schedule(
        learning_rates(cfg),
        cfg.VALID_STEP,
        cfg.SAVE_STEP,
        cfg.SHOW_STEP,
        cfg.TRAIN.CHECKPOINT_MINUTES * 60,
        cfg.EVAL_MODE,
        cfg.TRAIN.OPTIMIZER.CLIP_NORM,
    )


def describe_data(cfg: CfgNode, splits: Splits) -> str:
    """Return one line about the training images."""
    counts = splits.train.class_counts()
    groups = shot_groups(counts, cfg.TEST.MANY_SHOT, cfg.TEST.FEW_SHOT)
    shots = ", ".join(f"{len(groups[name])} {name}" for name in ("many", "medium", "few") if groups.get(name))
    made = f" and {splits.train.num_generated:,} generated ones" if splits.train.num_generated else ""
    return (
        f"{splits.train.num_original:,} training images{made} in {len(counts)} classes ({max(counts):,} to "
        f"{min(counts):,}, imbalance {max(counts) / min(counts):.4g}: {shots}), {len(splits.valid):,} validation images"
    )
