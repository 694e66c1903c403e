"""Packing of the splits of a config into one folder."""

import json
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.data.annotations import image_paths, load_annotations
from longtail.data.convert.split import write_annotations
from longtail.data.pack.jpeg import pack_jpeg
from longtail.data.pack.pixels import pack_pixels
from longtail.data.pack.settings import Settings
from longtail.errors import UserError
from longtail.files import atomic_write, sha256
from longtail.user_files import read_json, translating

SPLITS = {"train": "TRAIN_JSON", "valid": "VALID_JSON", "test": "TEST_JSON"}


def pack(cfg: CfgNode, folder: str | Path, settings: Settings) -> dict[str, Path]:
    """Write smaller copies of the images of a config, and their annotation files.

    Args:
        cfg: Config of a data set of annotation files.
        folder: Folder of the copies.
        settings: Size, format and quality.

    Returns:
        The annotation file of each split.

    Raises:
        UserError: The data set has no image files, an image cannot be read, or the folder holds other copies.
    """
    folder = Path(folder)
    named = {split: cfg.DATASET[key] for split, key in SPLITS.items() if cfg.DATASET[key]}
    if cfg.DATASET.DATASET != "annotations" or not named:
        raise UserError(
            f"data set {cfg.DATASET.DATASET!r} has no image files to pack; allowed: DATASET.DATASET annotations with "
            "DATASET.TRAIN_JSON or VALID_JSON"
        )
    # Read all of them first, so that a mistake is found before anything is written.
    contents = {split: load_annotations(path) for split, path in named.items()}
    packed = next((split for split, content in contents.items() if "pixels" in content), None)
    if packed:
        raise UserError(f"the images of {named[packed]} are already packed")
    _claim(folder, settings, sources=named)
    write = pack_jpeg if settings.format == "jpeg" else pack_pixels
    files = {split: folder / f"{split}.json" for split in contents}
    for split, content in contents.items():
        paths = image_paths(content, named[split], root=cfg.DATASET.ROOT)
        write_annotations(files[split], write(content, paths, folder=folder, split=split, settings=settings))
    return files


def _claim(folder: Path, settings: Settings, *, sources: dict[str, str]) -> None:
    """Write the record of what the folder holds, or check that an existing record is the same.

    Raises:
        UserError: The folder holds copies of other images, or of another size.
    """
    wanted = {**settings.record(), "sources": {split: sha256(path) for split, path in sources.items()}}
    record = folder / "pack.json"
    with translating(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            with atomic_write(record, "w") as file:
                file.write(json.dumps(wanted, indent=1) + "\n")
            return
        held = read_json(record, "record of a packing")
    held = held if isinstance(held, dict) else {}
    different = [key for key in {**wanted, **held} if held.get(key) != wanted.get(key)]
    if different:
        raise UserError(
            f"{folder} holds images packed with other values of {', '.join(different)} ({record}); use another folder"
        )


def describe(files: dict[str, Path]) -> list[Any]:
    """Return the overrides, KEY, VALUE, ..., that train on the copies."""
    pairs = [word for split, path in files.items() for word in (f"DATASET.{SPLITS[split]}", str(path))]
    return [*pairs, "DATASET.ROOT", '""']
