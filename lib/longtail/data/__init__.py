"""Data: annotation files, data sets, the long-tail rule, augmentation, samplers and loaders."""

from longtail.data.batch import Batch
from longtail.data.convert.own import check_hold_out, configured_rule, has_test_images
from longtail.data.dataset import ImageSet
from longtail.data.images.reading import SMALL_SIDE
from longtail.data.loaders import (
    Loader,
    Loaders,
    Shard,
    build_evaluation_policy,
    build_loaders,
    build_normalize,
    build_valid_loader,
)
from longtail.data.normalization import Normalize
from longtail.data.samplers import SAMPLERS, Sampler, build_sampler
from longtail.data.sources import SOURCES, Splits, build_splits
from longtail.data.test_time import build_test_policy, check_test_time, takes_crops_of_resized

__all__ = [
    "SAMPLERS",
    "SMALL_SIDE",
    "SOURCES",
    "Batch",
    "ImageSet",
    "Loader",
    "Loaders",
    "Normalize",
    "Sampler",
    "Shard",
    "Splits",
    "build_evaluation_policy",
    "build_loaders",
    "build_normalize",
    "build_sampler",
    "build_splits",
    "build_test_policy",
    "build_valid_loader",
    "check_hold_out",
    "check_test_time",
    "configured_rule",
    "has_test_images",
    "takes_crops_of_resized",
]
