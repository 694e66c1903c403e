"""Optimiser and learning rates."""

import math

import torch
from torch import nn
from yacs.config import CfgNode

COSINE_FLOOR = 1e-4  # rate at which the cosine ends, as released


def learning_rates(cfg: CfgNode) -> list[float]:
    """Return the rate used while training epoch 1, 2, ..., MAX_EPOCH.

    multistep: base * factor^k, k the milestones that are <= the epoch. warmup: the same, times 1/3 at epoch 0 rising
    linearly to 1 at WARM_EPOCH. cosine: from base to 1e-4 at COSINE_DECAY_END (or MAX_EPOCH), and there it stays (the
    release would rise again).
    """
    schedule = cfg.TRAIN.LR_SCHEDULER
    base = cfg.TRAIN.OPTIMIZER.BASE_LR
    end = schedule.COSINE_DECAY_END or cfg.TRAIN.MAX_EPOCH

    def cosine(epoch: int) -> float:
        return COSINE_FLOOR + (base - COSINE_FLOOR) * (1 + math.cos(math.pi * min(epoch / end, 1))) / 2

    def multistep(epoch: int) -> float:
        return base * schedule.LR_FACTOR ** sum(step <= epoch for step in schedule.LR_STEP)

    def warmup(epoch: int) -> float:
        done = min(epoch / schedule.WARM_EPOCH, 1) if schedule.WARM_EPOCH else 1
        return multistep(epoch) * ((1 - done) / 3 + done)

    rate = {"cosine": cosine, "multistep": multistep, "warmup": warmup}[schedule.TYPE]
    return [rate(epoch) for epoch in range(1, cfg.TRAIN.MAX_EPOCH + 1)]


def build_optimizer(cfg: CfgNode, model: nn.Module, fused: bool) -> torch.optim.Optimizer:
    """Build the optimiser over all trainable parameters, in one group.

    SGD is Nesterov's; weight decay acts on every parameter, batch norm and biases included, as in both releases.

    Args:
        cfg: the configuration tree.
        model: whose parameters are trained.
        fused: one kernel per step for all parameters; False: one per operation and parameter list.
    """
    settings = cfg.TRAIN.OPTIMIZER
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.TYPE == "ADAM":
        return torch.optim.Adam(parameters, lr=settings.BASE_LR, weight_decay=settings.WEIGHT_DECAY, fused=fused)
    return torch.optim.SGD(
        parameters,
        lr=settings.BASE_LR,
        momentum=settings.MOMENTUM,
        weight_decay=settings.WEIGHT_DECAY,
        nesterov=settings.MOMENTUM > 0,
        fused=fused,
    )
