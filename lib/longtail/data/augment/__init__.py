"""Image augmentation on whole batches of uint8 tensors.

A policy is a callable `policy(images, generator) -> images`: uint8 (N, 3, H, W) on any device goes in and
is left as it is, uint8 (N, 3, S, S) comes out, and the generator alone decides what happens.
"""

from longtail.data.augment.autoaugment import AutoAugment
from longtail.data.augment.policies import POLICIES, build_policy, evaluation_transforms
from longtail.data.augment.randaugment import RandAugment
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrey, RandomResizedCrop
from longtail.data.augment.steps import Chain, Cutout, Policy, RandomCrop, RandomFlip, RandomRotation
from longtail.data.augment.transforms import TRANSFORMS, build_transforms

__all__ = [
    "POLICIES",
    "TRANSFORMS",
    "AutoAugment",
    "Chain",
    "ColorJitter",
    "Cutout",
    "Policy",
    "RandAugment",
    "RandomBlur",
    "RandomCrop",
    "RandomFlip",
    "RandomGrey",
    "RandomResizedCrop",
    "RandomRotation",
    "build_policy",
    "build_transforms",
    "evaluation_transforms",
]
