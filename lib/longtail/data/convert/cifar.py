"""Long-tailed CIFAR as image files, from the official archives (Cao et al., arXiv 1906.07413)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from longtail.data.annotations import load_annotations
from longtail.data.convert.split import Split, content_of, refuse_overwriting, write_split
from longtail.data.convert.summary import tell
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError

CLASSES = {"cifar10": 10, "cifar100": 100}


def make_cifar_lt(
    dataset: str,
    input_path: str | Path,
    output_path: str | Path,
    imbalance_factor: float,
    kind: str = "exp",
    seed: int = 0,
    download: bool = True,
    force: bool = False,
) -> None:
    """Write <dataset>_im<factor>_train.json, <dataset>_valid.json and the PNG images that they list.

    Images are named by their position in the archive, so that several factors share them. The annotation files come
    last: without them, an output folder is that of a run that did not end, and the same command completes it.

    Args:
        dataset: "cifar10" or "cifar100".
        input_path: folder of the archive, packed or unpacked.
        output_path: folder of the annotation files.
        imbalance_factor: largest / smallest class, from 1.
        kind: shape of the tail, "exp" or "step".
        seed: decides which images are kept; 0 as published.
        download: whether to fetch an archive that is not there.
        force: whether to replace files.

    Raises:
        UserError: the archive is not there, the factor is out of range, or a file would be overwritten.
    """
    if not imbalance_factor >= 1:
        raise UserError(f"the imbalance factor is {imbalance_factor:g}; it must be 1 or more")
    num_classes, output = CLASSES[dataset], Path(output_path)
    shape = "" if (kind, seed) == ("exp", 0) else f"_{kind}" + (f"_seed{seed}" if seed else "")
    train_json = output / f"{dataset}_im{imbalance_factor:g}{shape}_train.json"
    valid_json = output / f"{dataset}_valid.json"
    refuse_overwriting(train_json, force)

    train, valid = (read_archive(dataset, input_path, train, download) for train in (True, False))
    labels = np.asarray(train.targets)
    counts = class_counts(len(labels) // num_classes, num_classes, 1 / imbalance_factor, kind)
    if min(counts) == 0:
        raise UserError(f"the imbalance factor {imbalance_factor:g} leaves {counts.count(0)} classes no image")
    kept = select_indices(labels, counts, seed)
    images = output / dataset
    train_split = _split(train, kept, images / "train")
    valid_split = _split(valid, range(len(valid.targets)), images / "valid")
    if valid_json.exists() and load_annotations(valid_json) != content_of(valid_json, valid_split):
        refuse_overwriting(valid_json, force)  # the file that every factor shares is left as it is
    write_images(train.data[kept], train_split.paths, force)
    write_images(valid.data, valid_split.paths, force)
    write_split(valid_json, valid_split)
    write_split(train_json, train_split)
    known = f"CIFAR-{num_classes}"
    tell(valid_json, valid_split, f"{known} test")
    tell(train_json, train_split, f"{known}-LT {imbalance_factor:g} train" if kind == "exp" else "")


def _split(archive: Any, positions: Sequence[int], folder: Path) -> Split:
    """Return images of an archive as files that are yet to be written."""
    paths = [str(folder / f"{position:05d}.png") for position in positions]
    labels = [archive.targets[position] for position in positions]
    return Split(paths, labels, len(archive.classes), [archive.data.shape[1:3]] * len(paths), list(archive.classes))


def write_images(images: np.ndarray, paths: Sequence[str], force: bool) -> None:
    """Write images (N, 32, 32, 3) uint8 as PNG files; those that are there already stay, unless `force` is set.

    Raises:
        UserError: a file cannot be written.
    """
    folder = Path(paths[0]).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for image, path in zip(images, tqdm(paths, desc=str(folder), disable=None, leave=False), strict=True):
            if force or not os.path.exists(path):
                unfinished = f"{path}.tmp"
                Image.fromarray(image).save(unfinished, "PNG")
                os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from None


def read_archive(dataset: str, root: str | Path, train: bool, download: bool) -> Any:
    """Return one split of torchvision's CIFAR: `data` (N, 32, 32, 3) uint8, `targets` (N,) and `classes`.

    Raises:
        UserError: the archive is not there, damaged, or cannot be fetched.
    """
    from torchvision import datasets

    try:
        return getattr(datasets, dataset.upper())(root, train=train, download=download)
    except (RuntimeError, OSError) as error:  # URLError is an OSError
        how = "could not be fetched" if download else "was not to be fetched (--no-download)"
        raise UserError(f"the archive of {dataset} is not whole under {root} and {how}: {error}") from None
