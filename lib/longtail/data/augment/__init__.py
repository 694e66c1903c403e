"""Image augmentation on whole batches of uint8 tensors.

A policy is a callable `policy(images, generator) -> images`. It takes images (N, 3, H, W) uint8 on any device, does not
modify them, and returns images (N, 3, S, S) uint8. All randomness comes from the generator.
"""

from longtail.data.augment.autoaugment import AutoAugment
from longtail.data.augment.policies import POLICIES, build_policy, evaluation_transforms, fast_policy
from longtail.data.augment.randaugment import RandAugment
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrayscale, RandomResizedCrop
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
    "RandomGrayscale",
    "RandomResizedCrop",
    "RandomRotation",
    "build_policy",
    "build_transforms",
    "evaluation_transforms",
    "fast_policy",
]
