"""Loaders of batches: from memory in large augmented chunks, or from files through worker processes."""

from longtail.data.loaders.base import SINGLE, Loader, LoaderSettings, Shard
from longtail.data.loaders.build import (
    CPU,
    Loaders,
    build_evaluation_policy,
    build_loaders,
    build_normalize,
    build_valid_loader,
)
from longtail.data.loaders.files import FileLoader
from longtail.data.loaders.memory import MemoryLoader
from longtail.data.loaders.paired import PairedLoader

__all__ = [
    "CPU",
    "SINGLE",
    "FileLoader",
    "Loader",
    "LoaderSettings",
    "Loaders",
    "MemoryLoader",
    "PairedLoader",
    "Shard",
    "build_evaluation_policy",
    "build_loaders",
    "build_normalize",
    "build_valid_loader",
]
