"""Augmentation."""

from longtail.data.augment.autoaugment import AutoAugment
from longtail.data.augment.steps import Chain, Cutout, RandomCrop, RandomFlip

__all__ = ["AutoAugment", "Chain", "Cutout", "RandomCrop", "RandomFlip"]
