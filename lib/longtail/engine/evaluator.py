"""Judging a network on a split: every sample once, in one process or in many."""

from collections.abc import Callable

import torch
from torch import nn

from longtail.data import Loader, Normalize
from longtail.engine.distributed import sum_over_processes
from longtail.evaluation import Judge


class Stopped(Exception):
    """The judging was broken off."""


@torch.no_grad()
def evaluate(
    network: nn.Module,
    loader: Loader,
    normalize: Normalize,
    judge: Judge,
    device: torch.device,
    autocast: Callable[[], torch.autocast],
    should_stop: Callable[[], bool] = lambda: False,
) -> Judge:
    """Count into `judge` what the network says of every sample of the loader.

    Args:
        network: images to `Output`; not wrapped for several processes. Left in evaluation mode.
        loader: this process's shard.
        normalize: uint8 images to the network's input.
        judge: empty; holds the sum over all processes afterwards.
        device: of the network.
        autocast: gives the mixed-precision context.
        should_stop: asked before every batch.

    Raises:
        Stopped: `should_stop` said so.
    """
    network.eval()
    for batch in loader.epoch(1):
        if should_stop():
            raise Stopped
        batch = batch.to(device)
        with autocast():
            logits = network(normalize(batch.images)[0]).logits
        judge.update(logits.float(), batch.labels)
    sum_over_processes(judge.to(device).state())
    return judge
