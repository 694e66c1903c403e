"""Converter for a folder of images with one folder per class."""

import os
from pathlib import Path

from longtail.data.convert.class_folders import read_class_folders, split_folders
from longtail.data.convert.hold_out import HoldOut, make_long_tailed
from longtail.data.convert.own import own_splits
from longtail.data.convert.split import Split, check_apart, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError


def convert_folder(
    input_path: str | Path,
    output_path: str | Path,
    *,
    valid: str | Path | HoldOut | None = None,
    imbalance_factor: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Write train.json and, with validation and test images, valid.json and test.json for a folder of class folders.

    Args:
        input_path: Folder with one folder per class, where images may be in subfolders; or a folder with such folders
            for its splits: train/, val/ and optionally test/.
        output_path: Folder of the annotation files.
        valid: A second such folder with validation images; or how many images of each class to hold out; None: only the
            splits in `input_path`.
        imbalance_factor: Largest / smallest class of the training images, made long-tailed by the exponential rule;
            None: keep all images.
        seed: Seed of the choice of images that are kept.
        force: Replace existing files.

    Raises:
        UserError: There are no class folders, a class has no images, the validation images have other classes, or a
            file would be overwritten.
    """
    splits = read_splits(input_path, valid)
    outputs = {name: Path(output_path) / f"{name}.json" for name in splits}
    for output in outputs.values():
        check_writable(output, force=force)
    if imbalance_factor is not None:
        splits["train"] = make_long_tailed(splits["train"], imbalance_factor, seed=seed)
    for name, split in splits.items():
        write_split(outputs[name], split)
        log_summary(outputs[name], split, training=name == "train")


def read_splits(root: str | Path, valid: str | Path | HoldOut | None) -> dict[str, Split]:
    """Return the splits of a folder by name: "train", and "valid" and "test" if there are any.

    Args:
        root: See `convert_folder`.
        valid: See `convert_folder`.

    Raises:
        UserError: See `convert_folder`.
    """
    folders = split_folders(root)
    wanted = {"valid", "test"} if isinstance(valid, HoldOut) and valid.test else {"valid"}
    if folders and valid is not None and (wanted & folders.keys() or not isinstance(valid, HoldOut)):
        raise UserError(
            f"{root} holds the splits {', '.join(sorted(path.name for path in folders.values()))}, not classes; name "
            f"the folder of the training images: {folders['train']}"
        )
    if valid is None or isinstance(valid, HoldOut):
        return own_splits(root, valid)
    _check_outside(root, valid)
    train = read_class_folders(root)
    splits = {"train": train, "valid": read_class_folders(valid, train.classes)}
    check_apart(splits)
    return splits


def _check_outside(train: str | Path, valid: str | Path) -> None:
    """Check that the folder of the validation images is not in that of the training images, nor the reverse."""
    first, second = (os.path.join(os.path.realpath(path), "") for path in (train, valid))
    if first.startswith(second) or second.startswith(first):
        raise UserError(
            f"the validation images in {valid} are inside the folder of the training images, {train}, or the reverse"
        )
