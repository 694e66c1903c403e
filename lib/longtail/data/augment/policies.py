"""The augmentation policies that a configuration can name."""

from collections.abc import Callable
from typing import Any

from longtail.data.augment.autoaugment import AutoAugment
from longtail.data.augment.randaugment import RandAugment
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrey, RandomResizedCrop
from longtail.data.augment.steps import Chain, Cutout, Policy, RandomCrop, RandomFlip
from longtail.data.augment.transforms import RandomResizedCropTo, build_transforms
from longtail.registry import Registry

POLICIES: Registry[Callable[[Any], Policy]] = Registry("augmentation policy")


def build_policy(name: str, cfg: Any) -> Policy:
    """Return the policy called `name`.

    Args:
        name: an entry of `POLICIES`.
        cfg: the configuration tree.

    Returns:
        A callable (images uint8 (N, 3, H, W), generator) -> images uint8 (N, 3, S, S).

    Raises:
        UserError: there is no such policy.
    """
    return POLICIES.get(name)(cfg)


def evaluation_transforms(cfg: Any) -> Policy:
    """Return the policy that `TRANSFORMS.TEST_TRANSFORMS` lists.

    Args:
        cfg: the configuration tree.

    Returns:
        A policy; with the released lists it draws no random numbers.

    Raises:
        UserError: a name is unknown.
    """
    return build_transforms(cfg.TRANSFORMS.TEST_TRANSFORMS, cfg)


def _crop(cfg: Any) -> RandomCrop:
    return RandomCrop(int(cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING))


@POLICIES.register("none")
def none(cfg: Any) -> Policy:
    """Build the policy that changes nothing."""
    return Chain(())


@POLICIES.register("crop")
def crop(cfg: Any) -> Policy:
    """Build: random crop after zero padding, at the images' own size."""
    return Chain([_crop(cfg)])


@POLICIES.register("crop_flip")
def crop_flip(cfg: Any) -> Policy:
    """Build Bag of Tricks' CIFAR policy: crop, flip 0.5."""
    return Chain([_crop(cfg), RandomFlip(0.5)])


@POLICIES.register("autoaugment")
def autoaugment(cfg: Any) -> Policy:
    """Build NCL's CIFAR policy: crop, flip 0.5, AutoAugment for CIFAR-10, Cutout of one 16 pixel square."""
    return Chain([_crop(cfg), RandomFlip(0.5), AutoAugment(), Cutout(16)])


@POLICIES.register("simclr")
def simclr(cfg: Any) -> Policy:
    """Build NCL's contrastive CIFAR policy: resized crop, flip, colour jitter, grey, blur."""
    return Chain(
        [
            RandomResizedCrop((0.2, 1.0)),
            RandomFlip(0.5),
            ColorJitter(0.4, 0.4, 0.4, 0.1, chance=0.8),
            RandomGrey(0.2),
            RandomBlur(0.5, (0.1, 2.0)),
        ]
    )


def _resized_crop(cfg: Any) -> RandomResizedCropTo:
    height, width = cfg.INPUT_SIZE
    return RandomResizedCropTo((int(height), int(width)), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))


@POLICIES.register("randaugment")
def randaugment(cfg: Any) -> Policy:
    """Build NCL's policy for ImageNet-LT and iNaturalist: resized crop to INPUT_SIZE, flip, jitter, RandAugment."""
    return Chain([_resized_crop(cfg), RandomFlip(0.5), ColorJitter(0.4, 0.4, 0.4), RandAugment()])


@POLICIES.register("regular")
def regular(cfg: Any) -> Policy:
    """Build NCL's plain policy for large images: resized crop to INPUT_SIZE, flip 0.5, jitter."""
    return Chain([_resized_crop(cfg), RandomFlip(0.5), ColorJitter(0.4, 0.4, 0.4)])


@POLICIES.register("simclr_imagenet")
def simclr_imagenet(cfg: Any) -> Policy:
    """Build NCL's policy for Places-LT: resized crop to INPUT_SIZE, jitter, grey, blur, flip 0.5."""
    return Chain(
        [
            _resized_crop(cfg),
            ColorJitter(0.4, 0.4, 0.4),
            RandomGrey(0.2),
            RandomBlur(0.5, (0.1, 2.0)),
            RandomFlip(0.5),
        ]
    )


@POLICIES.register("transforms")
def transforms(cfg: Any) -> Policy:
    """Build the list that `TRANSFORMS.TRAIN_TRANSFORMS` names."""
    return build_transforms(cfg.TRANSFORMS.TRAIN_TRANSFORMS, cfg)
