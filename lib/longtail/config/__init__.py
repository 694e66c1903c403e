"""The tree of settings: its defaults, how a YAML file becomes one, and the names of the released systems."""

from longtail.config.loading import load_config, read_yaml
from longtail.config.released import (
    DatasetParts,
    Sampling,
    dataset_parts,
    expert_backbones,
    method_name,
    precision,
    sampling,
)

__all__ = [
    "DatasetParts",
    "Sampling",
    "dataset_parts",
    "expert_backbones",
    "load_config",
    "method_name",
    "precision",
    "read_yaml",
    "sampling",
]
