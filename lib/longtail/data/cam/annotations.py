"""Training images that were made from others by CAM-based sampling: when they are made, and how they are used."""

import functools
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.annotations import read_generated
from longtail.data.dataset import ImageSet
from longtail.data.images.reading import read_images
from longtail.errors import UserError


def append_generated(images: ImageSet, path: str) -> ImageSet:
    """Return a training set with the generated images behind its own.

    Args:
        images: the original images.
        path: of the list, see `read_generated`.

    Raises:
        UserError: the list is missing or wrong.
    """
    if not Path(path).is_file():
        raise UserError(
            f"DATASET.CAM_DATA_JSON_SAVE_PATH {path} does not exist; DATASET.GENERATE_CAM_BASED_DATASET True makes it, "
            "and writes it when all images are there"
        )
    made = read_generated(path, images.num_classes)
    labels = torch.cat((images.labels, torch.tensor(made.labels)))
    if images.paths:
        files = (*images.paths, *made.paths)
        joined = ImageSet.of_files(images.name, files, labels.tolist(), images.num_classes, images.reading)
        return replace(joined, generated=len(made.paths))

    @functools.cache  # asked by the fingerprint and by the loader
    def load() -> Tensor:
        return _join(images, made.paths, path)

    return replace(images, labels=labels, load=load, generated=len(made.paths))


def _join(images: ImageSet, paths: list[str], path: str) -> Tensor:
    """Return the images of a set that lives in memory and those of files, together."""
    own, made = images.load(), read_images(paths)
    assert isinstance(own, Tensor)
    if made is None or made.shape[1:] != own.shape[1:]:
        height, width = own.shape[2:]
        raise UserError(f"{path}: images must have the size of the training images, {height}x{width}")
    return torch.cat((own, made))


def check_generated(cfg: CfgNode) -> None:
    """Refuse a tree that cannot make or use generated images.

    Raises:
        UserError: names the keys and what is allowed.
    """
    data, sampler = cfg.DATASET, cfg.TRAIN.SAMPLER
    if data.GENERATE_CAM_BASED_DATASET:
        check_generation(cfg)
    if not data.USE_CAM_BASED_DATASET:
        return
    if data.GENERATE_CAM_BASED_DATASET:
        raise UserError(
            "DATASET.GENERATE_CAM_BASED_DATASET and USE_CAM_BASED_DATASET are both True; the first makes the images "
            "and ends, the second trains on them: set one"
        )
    if not data.CAM_DATA_JSON_SAVE_PATH:
        raise UserError("DATASET.USE_CAM_BASED_DATASET is True; DATASET.CAM_DATA_JSON_SAVE_PATH must name their list")
    if sampler.TYPE == "default" and sampler.MULTI_NETWORK_TYPE[:1] in ([], ["default"]):
        raise UserError(
            "DATASET.USE_CAM_BASED_DATASET is True, but TRAIN.SAMPLER.TYPE 'default' shows original images only; "
            "'weighted sampler' draws the generated ones as well"
        )


def check_generation(cfg: CfgNode) -> None:
    """Refuse a tree that lacks what generating needs: a trained network, a folder and the file of the list.

    Raises:
        UserError: names the key.
    """
    needed = "CAM-based sampling makes images with a trained network"
    if not cfg.NETWORK.PRETRAINED or not cfg.NETWORK.PRETRAINED_MODEL:
        raise UserError(f"{needed}: NETWORK.PRETRAINED must be True and NETWORK.PRETRAINED_MODEL its checkpoint")
    for key, what in (("CAM_DATA_SAVE_PATH", "folder"), ("CAM_DATA_JSON_SAVE_PATH", "annotation file")):
        if not cfg.DATASET[key]:
            raise UserError(f"DATASET.{key} is empty; CAM-based sampling needs the {what} that it writes")
