"""The size of the views: training and evaluation must both resize the images, or neither."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.augment.steps import Policy
from longtail.data.images.files import ImageFiles
from longtail.data.seeding import generator
from longtail.errors import UserError


def resize_hint(cfg: CfgNode) -> str:
    """Return the keys that resize the images of a config to its INPUT_SIZE."""
    views = ", ".join("regular" for _ in cfg.DATASET.VIEWS)
    height, width = cfg.INPUT_SIZE
    return (
        "these keys resize them, for training and evaluation: "
        f"DATASET.VIEWS '[{views}]' DATASET.TEST_VIEW transforms INPUT_SIZE '({height}, {width})'"
    )


def check_view_sizes(
    cfg: CfgNode, policies: Sequence[Policy], evaluation: Policy, *, images: Tensor | ImageFiles
) -> None:
    """Refuse views of which some keep the size of the images and others resize them.

    Args:
        cfg: Config.
        policies: Policy of each training view.
        evaluation: Policy of the evaluation view.
        images: Training images. If they have INPUT_SIZE already, any view is allowed.

    Raises:
        UserError: Training and evaluation would see images of different sizes; the message has the keys that resize.
    """
    wanted = tuple(cfg.INPUT_SIZE)
    keeps = [keeps_size(policy, wanted) for policy in (*policies, evaluation)]
    if all(keeps) or not any(keeps):
        return
    size = tuple(images.shape[2:]) if isinstance(images, Tensor) else tuple(images.read(0)[0].shape[1:])
    if size == wanted:
        return
    data = cfg.DATASET
    names = [*(f"DATASET.VIEWS {name}" for name in data.VIEWS), f"DATASET.TEST_VIEW {data.TEST_VIEW or 'none'}"]
    keeping, resizing = (
        next(name for name, keep in zip(names, keeps, strict=True) if keep is kind) for kind in (True, False)
    )
    raise UserError(
        f"{keeping} keeps the size of the images ({size[0]}x{size[1]}), but {resizing} changes it; {resize_hint(cfg)}"
    )


def keeps_size(policy: Policy, size: tuple[int, ...]) -> bool:
    """Return whether a policy returns images in the size that they had, tried on one that is no multiple of `size`."""
    images = torch.zeros(1, 3, 2 * size[0] + 3, 2 * size[1] + 5, dtype=torch.uint8)
    return policy(images, generator(0, 0)).shape == images.shape
