"""Configuration: declarations of the keys, loading, and the names of the released systems."""

from longtail.config.declared import flatten, value_of
from longtail.config.description import FROM_BACKBONE, describe_backbone, timm_name
from longtail.config.files import OWN_IMAGES, configs_folder, find_config, is_recipe, short_names
from longtail.config.keys import KEYS
from longtail.config.loading import changed, load_config, split_paths
from longtail.config.names import RELEASED_DATASETS, RELEASED_METHODS, expert_backbones
from longtail.config.yaml_files import read_yaml, to_yaml

__all__ = [
    "FROM_BACKBONE",
    "KEYS",
    "OWN_IMAGES",
    "RELEASED_DATASETS",
    "RELEASED_METHODS",
    "changed",
    "configs_folder",
    "describe_backbone",
    "expert_backbones",
    "find_config",
    "flatten",
    "is_recipe",
    "load_config",
    "read_yaml",
    "short_names",
    "split_paths",
    "timm_name",
    "to_yaml",
    "value_of",
]
