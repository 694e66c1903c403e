"""Converter for long-tailed CIFAR (Cao et al., arXiv 1906.07413), from the official archives to image files."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from longtail.data.annotations import load_annotations
from longtail.data.cifar import CLASSES, read_archive
from longtail.data.convert.hold_out import check_factor, check_seed
from longtail.data.convert.images import write_image
from longtail.data.convert.split import Split, annotations_of, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError
from longtail.user_files import translating

logger = logging.getLogger(__name__)


def make_cifar_lt(
    dataset: str,
    *,
    input_path: str | Path,
    output_path: str | Path,
    imbalance_factor: float,
    kind: str = "exp",
    seed: int = 0,
    jpeg: int | None = None,
    download: bool = True,
    force: bool = False,
) -> None:
    """Write <dataset>_im<factor>_train.json, <dataset>_valid.json and the images that they list.

    Images are named by their index in the archive, so that several imbalance factors share them. The annotation files
    are written last: if they are missing, the conversion was interrupted, and the same command completes it.

    Args:
        dataset: "cifar10" or "cifar100".
        input_path: Folder of the archive, packed or unpacked.
        output_path: Folder of the annotation files.
        imbalance_factor: Largest / smallest class, at least 1.
        kind: Shape of the tail, "exp" or "step".
        seed: Seed of the choice of images that are kept; 0 as published.
        jpeg: Quality of JPEG files, 1 to 100, which the names of files and folders end with; None: lossless PNG.
        download: Download an archive that does not exist.
        force: Replace existing files.

    Raises:
        UserError: The archive does not exist, the factor or the quality is out of range, or a file would be
            overwritten.
    """
    check_factor(imbalance_factor)
    if jpeg is not None and not 1 <= jpeg <= 100:
        raise UserError(f"the JPEG quality is {jpeg}; it must be 1 to 100")
    check_seed(seed)
    num_classes, output = CLASSES[dataset], Path(output_path)
    shape = "" if (kind, seed) == ("exp", 0) else f"_{kind}" + (f"_seed{seed}" if seed else "")
    suffix = "" if jpeg is None else f"_q{jpeg}"
    train_json = output / f"{dataset}_im{imbalance_factor:g}{shape}{suffix}_train.json"
    valid_json = output / f"{dataset}{suffix}_valid.json"
    check_writable(train_json, force=force)

    archive = partial(read_archive, dataset, input_path, download=download, off="--no-download")
    train, valid = archive(train=True), archive(train=False)
    labels = np.asarray(train.targets)
    counts = class_counts(len(labels) // num_classes, num_classes, 1 / imbalance_factor, kind)
    if min(counts) == 0:
        raise UserError(f"the imbalance factor {imbalance_factor:g} leaves {counts.count(0)} classes without images")
    kept = select_indices(labels, counts, seed)
    images, ending = output / f"{dataset}{suffix}", "png" if jpeg is None else "jpg"
    train_split = _split(train, kept, folder=images / "train", ending=ending)
    valid_split = _split(valid, range(len(valid.targets)), folder=images / "valid", ending=ending)
    if not force and valid_json.exists() and load_annotations(valid_json) != annotations_of(valid_split, valid_json):
        check_writable(valid_json, force=force)  # equal files are not an error: all factors share this file
    write_images(train.data[kept], train_split.paths, quality=jpeg)
    write_images(valid.data, valid_split.paths, quality=jpeg)
    write_split(valid_json, valid_split)
    write_split(train_json, train_split)
    name = f"CIFAR-{num_classes}"
    log_summary(valid_json, valid_split, f"{name} test", training=False)
    log_summary(train_json, train_split, f"{name}-LT {imbalance_factor:g} train" if kind == "exp" else "")


def _split(archive: Any, indices: Sequence[int], *, folder: Path, ending: str) -> Split:
    """Return images of an archive as a split of image files, which are not written yet."""
    return Split(
        [str(folder / f"{index:05d}.{ending}") for index in indices],
        [archive.targets[index] for index in indices],
        num_classes=len(archive.classes),
        sizes=[archive.data.shape[1:3]] * len(indices),
        classes=list(archive.classes),
    )


def write_images(images: np.ndarray, paths: Sequence[str], *, quality: int | None = None) -> None:
    """Write images (N, 32, 32, 3) uint8; files that hold the same already are kept.

    Args:
        images: Pixels.
        paths: Files.
        quality: See `write_image`.

    Raises:
        UserError: A file cannot be written.
    """
    folder = Path(paths[0]).parent
    replaced = 0
    with translating(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
        for image, path in zip(images, tqdm(paths, desc=str(folder), disable=None, leave=False), strict=True):
            replaced += write_image(image, path, quality=quality)
        os.sync()  # the images are on the disk before the annotation file that lists them
    if replaced:
        logger.warning("  WARNING: %s: %d files had other content and were replaced", folder, replaced)
