"""One forward pass of a few training and validation images, before a run directory exists."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.loaders.sizes import resize_hint
from longtail.engine.compiling import uncompiled
from longtail.engine.training import Training
from longtail.errors import UserError, one_line

IMAGES = 16  # images of each split that are decoded, enough to detect different sizes


def dry_run(cfg: CfgNode, training: Training) -> None:
    """Decode a few images of each split and apply the network to two of them.

    Args:
        cfg: Config.
        training: Components of the training.

    Raises:
        UserError: Images differ in size, the backbone refuses their size, or the batches do not fit into shared memory.
    """
    for split, loader in (("training", training.loaders.train), ("validation", training.loaders.valid)):
        batch = loader.peek(min(IMAGES, loader.batch_size))
        loader.check_memory(batch)
        images = training.loaders.normalize(batch.images[:1, :2].to(training.place.device))[0]
        _forward(cfg, training, images, split=split)


def _forward(cfg: CfgNode, training: Training, images: Tensor, *, split: str) -> None:
    """Run the network in evaluation mode, and restore its mode."""
    network = training.network
    mode = network.training
    network.eval()
    try:
        with uncompiled(), torch.no_grad(), training.place.autocast():
            network(images)
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        height, width = images.shape[2:]
        reason = one_line(error)
        raise UserError(
            f"the network ({training.facts.architecture}) cannot take the {split} images of {height}x{width}: "
            f"{reason}; {resize_hint(cfg)}"
        ) from None
    finally:
        network.train(mode)
