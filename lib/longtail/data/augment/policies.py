"""Augmentation policies by name."""

from collections.abc import Callable

from yacs.config import CfgNode

from longtail.data.augment.autoaugment import AutoAugment
from longtail.data.augment.randaugment import RandAugment
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrayscale, RandomResizedCrop
from longtail.data.augment.steps import Chain, Cutout, Policy, RandomCrop, RandomFlip
from longtail.data.augment.transforms import RandomResizedCropTo, build_transforms
from longtail.registry import Registry

POLICIES: Registry[Callable[[CfgNode], Policy]] = Registry("augmentation policy")


def build_policy(name: str, cfg: CfgNode) -> Policy:
    """Return the policy called `name`.

    Args:
        name: A name in `POLICIES`.
        cfg: Config.

    Returns:
        A callable (images, generator) -> images, from (N, 3, H, W) uint8 to (N, 3, S, S) uint8.

    Raises:
        UserError: The policy is unknown.
    """
    return POLICIES.get(name)(cfg)


def evaluation_transforms(cfg: CfgNode) -> Policy:
    """Return the policy of `TRANSFORMS.TEST_TRANSFORMS`.

    Args:
        cfg: Config.

    Returns:
        A policy; with the released lists it is deterministic.

    Raises:
        UserError: A transform is unknown.
    """
    return build_transforms(cfg.TRANSFORMS.TEST_TRANSFORMS, cfg)


def fast_policy(policy: Policy) -> Policy:
    """Return the OpenCV version of a policy, which takes one image at a time and draws the same random numbers."""
    from longtail.data.augment.fast import FastPolicy  # OpenCV is needed for DATASET.LOADER fast only

    return FastPolicy(policy)


def _crop(cfg: CfgNode) -> RandomCrop:
    return RandomCrop(int(cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING))


@POLICIES.register("none")
def none(cfg: CfgNode) -> Policy:
    """Build the policy that leaves images unchanged."""
    return Chain(())


@POLICIES.register("crop")
def crop(cfg: CfgNode) -> Policy:
    """Build random crops of the original size after zero padding."""
    return Chain([_crop(cfg)])


@POLICIES.register("crop_flip")
def crop_flip(cfg: CfgNode) -> Policy:
    """Build the CIFAR policy of Bag of Tricks: crop, flip with probability 0.5."""
    return Chain([_crop(cfg), RandomFlip(0.5)])


@POLICIES.register("autoaugment")
def autoaugment(cfg: CfgNode) -> Policy:
    """Build the CIFAR policy of NCL: crop, flip, AutoAugment for CIFAR-10, Cutout of one 16-pixel square."""
    return Chain([_crop(cfg), RandomFlip(0.5), AutoAugment(), Cutout(16)])


def _hue_jitter() -> ColorJitter:
    return ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)


@POLICIES.register("simclr")
def simclr(cfg: CfgNode) -> Policy:
    """Build the contrastive CIFAR policy of NCL: resized crop, flip, color jitter, grayscale, blur."""
    return Chain(
        [
            RandomResizedCrop(scale=(0.2, 1.0)),
            RandomFlip(0.5),
            _hue_jitter(),
            RandomGrayscale(0.2),
            RandomBlur(0.5, radius=(0.1, 2.0)),
        ]
    )


@POLICIES.register("supcon")
def supcon(cfg: CfgNode) -> Policy:
    """Build the contrastive CIFAR policy of SBCL: resized crop, flip, color jitter, grayscale; no blur."""
    return Chain([RandomResizedCrop(scale=(0.2, 1.0)), RandomFlip(0.5), _hue_jitter(), RandomGrayscale(0.2)])


def _jitter() -> ColorJitter:
    return ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)


def _resized_crop(cfg: CfgNode, smallest: float = 0.08) -> RandomResizedCropTo:
    height, width = cfg.INPUT_SIZE
    return RandomResizedCropTo((int(height), int(width)), scale=(smallest, 1.0), ratio=(3 / 4, 4 / 3))


@POLICIES.register("randaugment")
def randaugment(cfg: CfgNode) -> Policy:
    """Build the ImageNet-LT and iNaturalist policy of NCL: resized crop to INPUT_SIZE, flip, jitter, RandAugment."""
    return Chain([_resized_crop(cfg), RandomFlip(0.5), _jitter(), RandAugment()])


@POLICIES.register("regular")
def regular(cfg: CfgNode) -> Policy:
    """Build the standard policy of NCL for large images: resized crop to INPUT_SIZE, flip, jitter."""
    return Chain([_resized_crop(cfg), RandomFlip(0.5), _jitter()])


@POLICIES.register("simclr_imagenet")
def simclr_imagenet(cfg: CfgNode) -> Policy:
    """Build the Places-LT policy of NCL: resized crop to INPUT_SIZE, jitter, grayscale, blur, flip."""
    return Chain(
        [
            _resized_crop(cfg),
            _jitter(),
            RandomGrayscale(0.2),
            RandomBlur(0.5, radius=(0.1, 2.0)),
            RandomFlip(0.5),
        ]
    )


@POLICIES.register("moco_v2")
def moco_v2(cfg: CfgNode) -> Policy:
    """Build the policy of MoCo v2 (arXiv 2003.04297), SBCL's for ImageNet-LT: `simclr_imagenet` with milder crops."""
    return Chain(
        [
            _resized_crop(cfg, 0.2),
            _hue_jitter(),
            RandomGrayscale(0.2),
            RandomBlur(0.5, radius=(0.1, 2.0)),
            RandomFlip(0.5),
        ]
    )


@POLICIES.register("transforms")
def transforms(cfg: CfgNode) -> Policy:
    """Build the policy of `TRANSFORMS.TRAIN_TRANSFORMS`."""
    return build_transforms(cfg.TRANSFORMS.TRAIN_TRANSFORMS, cfg)
