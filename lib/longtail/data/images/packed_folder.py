"""The folder that `longtail pack` writes: its record, and the keys that train on it."""

from collections.abc import Mapping
from pathlib import Path

SPLITS = {"train": "TRAIN_JSON", "valid": "VALID_JSON", "test": "TEST_JSON"}  # annotation file <split>.json -> key


def packed_files(folder: Path) -> dict[str, Path]:
    """Return the annotation file of each split that was packed completely."""
    files = {split: folder / f"{split}.json" for split in SPLITS}
    return {split: file for split, file in files.items() if file.is_file()}


def packed_keys(files: Mapping[str, Path]) -> list[str]:
    """Return the overrides, KEY, VALUE, ..., that train on packed images.

    Args:
        files: Annotation file of each split.
    """
    pairs = [word for split, path in files.items() for word in (f"DATASET.{SPLITS[split]}", str(path))]
    return ["DATASET.DATASET", "annotations", *pairs, "DATASET.ROOT", ""]
