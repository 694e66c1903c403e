"""Packing of the splits of a config into one folder."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.data.annotations import image_paths, load_annotations, root_of_files
from longtail.data.convert.own import check_hold_out, configured_splits
from longtail.data.convert.split import annotations_of, write_annotations
from longtail.data.images.folders import is_service
from longtail.data.images.packed_folder import SPLITS
from longtail.data.pack.jpeg import pack_jpeg
from longtail.data.pack.pixels import pack_pixels
from longtail.data.pack.settings import Settings
from longtail.errors import UserError
from longtail.files import atomic_write, sha256
from longtail.output_folders import PACKED
from longtail.user_files import is_folder, read_json, translating


class _Listed(NamedTuple):
    """The images of a split.

    Attributes:
        content: Content of their annotation file.
        paths: Image files, (N,).
        digest: SHA-256 of the annotation file, or of the content if there is no file.
    """

    content: Mapping[str, Any]
    paths: list[str]
    digest: str


def pack(cfg: CfgNode, folder: str | Path, settings: Settings) -> dict[str, Path]:
    """Write smaller copies of the images of a config, and their annotation files.

    Args:
        cfg: Config of a data set of image files: annotation files or own images.
        folder: Folder of the copies.
        settings: Size, format and quality.

    Returns:
        The annotation file of each split.

    Raises:
        UserError: The data set has no image files, an image cannot be read, or the folder is among the images, or
            holds other files or copies.
    """
    folder = Path(folder)
    if cfg.DATASET.DATASET == "own" and is_folder(cfg.DATASET.ROOT):
        _check_apart(folder, cfg.DATASET.ROOT)
    splits = _listed(cfg, folder)  # all of them first, so that a mistake is found before anything is written
    _claim(folder, settings, sources={split: images.digest for split, images in splits.items()})
    write = pack_jpeg if settings.format == "jpeg" else pack_pixels
    files = {split: folder / f"{split}.json" for split in splits}
    for split, (content, paths, _) in splits.items():
        write_annotations(files[split], write(content, paths, folder=folder, split=split, settings=settings))
    return files


def _check_apart(folder: Path, source: str) -> None:
    """Refuse a folder of copies among the images, where it would be read as more of them."""
    inner, outer = (os.path.join(os.path.realpath(path), "") for path in (folder, source))
    if inner.startswith(outer):
        raise UserError(f"--folder {folder} is inside the folder of the images, {source}; use one outside of it")


def _listed(cfg: CfgNode, folder: Path) -> dict[str, _Listed]:
    """Return the images of each split of a config."""
    named = {split: cfg.DATASET[key] for split, key in SPLITS.items() if cfg.DATASET[key]}
    own = cfg.DATASET.DATASET == "own"
    if not own and (cfg.DATASET.DATASET != "annotations" or not named):
        raise UserError(
            f"data set {cfg.DATASET.DATASET!r} has no image files to pack; allowed: own images, or DATASET.DATASET "
            "annotations with DATASET.TRAIN_JSON or VALID_JSON"
        )
    check_hold_out(cfg)
    listed = {}
    for split, images in configured_splits(cfg).items() if own else ():
        content = annotations_of(images, folder / f"{split}.json")
        paths = [os.path.abspath(path) for path in images.paths]
        listed[split] = _Listed(content, paths, hashlib.sha256(json.dumps(content).encode()).hexdigest())
    if own:
        named.pop("train", None)  # own images are the training images
    for split, path in named.items():
        content = load_annotations(path)
        if "pixels" in content:
            raise UserError(f"the images of {path} are already packed")
        listed[split] = _Listed(content, image_paths(content, path, root=root_of_files(cfg)), sha256(path))
    return listed


def _claim(folder: Path, settings: Settings, *, sources: dict[str, str]) -> None:
    """Write the record of what the folder holds, or check that an existing record is the same.

    Raises:
        UserError: The folder holds copies of other images, or of another size, or other files.
    """
    wanted = {**settings.record(), "sources": sources}
    record = folder / PACKED
    with translating(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            if any(not is_service(entry.name) for entry in os.scandir(folder)):
                raise UserError(f"--folder {folder} holds other files; use an empty folder")
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
