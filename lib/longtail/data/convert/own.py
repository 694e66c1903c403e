"""Own images: a folder of classes, a folder of splits, or a list, read as splits."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import OWN_IMAGES, load_config
from longtail.data.annotations import load_annotations
from longtail.data.batch_size import smaller_batch
from longtail.data.convert.class_folders import read_class_folders, split_folders
from longtail.data.convert.groups import FOLDER, parent_folders
from longtail.data.convert.hold_out import HoldOut, divide
from longtail.data.convert.own_lists import GROUP, read_own_lists
from longtail.data.convert.split import Split
from longtail.data.images.packed_folder import packed_files, packed_keys
from longtail.errors import UserError
from longtail.output_folders import PACKED
from longtail.user_files import is_file, is_image_list


def own_splits(root: str | Path, hold_out: HoldOut | None, *, group: str = GROUP) -> dict[str, Split]:
    """Return the splits of own images by name: "train", and "valid" and "test" if there are any.

    Args:
        root: Folder with one folder per class; folder with such folders for its splits (train/, val/ and optionally
            test/); or a list of images, whose relative paths start in its folder.
        hold_out: How many training images to hold out if there are no validation images; None: none.
        group: Images that are held out together: column of a list, or `folder` for those of a folder; empty: none.

    Raises:
        UserError: The images cannot be read or divided, were packed, or there is no such column.
    """
    if is_image_list(root):
        splits = read_own_lists({"train": root}, image_path=Path(root).parent, group=group)
    elif is_file(Path(root) / PACKED):
        raise _packed(Path(root))
    elif folders := split_folders(root):
        train = read_class_folders(folders.pop("train"), sure=True)
        splits = {"train": train, **{name: read_class_folders(path, train.classes) for name, path in folders.items()}}
    else:
        splits = {"train": read_class_folders(root, sure=group == FOLDER)}
        if group not in ("", GROUP, FOLDER):
            raise UserError(f"DATASET.HOLD_OUT.GROUP is {group!r}, but {root} is a folder; allowed: '{FOLDER}'")
        if group == FOLDER:
            splits["train"] = replace(splits["train"], groups=parent_folders(splits["train"].paths))
    if hold_out is not None and hold_out.folds and "valid" in splits:
        raise UserError(f"DATASET.HOLD_OUT.FOLDS is {hold_out.folds}, but {root} has validation images already")
    if "valid" in splits or hold_out is None:
        return splits
    parts = divide(splits["train"], hold_out)
    return splits | {"train": parts.train, "valid": parts.valid} | ({"test": parts.test} if parts.test else {})


def _packed(folder: Path) -> UserError:
    """Return the error for a folder of packed images, with the command that trains on them."""
    files = packed_files(folder)
    if "train" not in files:
        return UserError(f"{folder} holds packed images, but not all: run the same longtail pack command again")
    images = len(load_annotations(files["train"])["annotations"])
    fitting = map(str, smaller_batch(load_config(OWN_IMAGES), images))
    command = shlex.join(["longtail", "train", OWN_IMAGES, *fitting, *packed_keys(files)])
    return UserError(f"{folder} holds packed images; to train on them: {command}")


def configured_splits(cfg: CfgNode) -> dict[str, Split]:
    """Return the splits of DATASET.ROOT by DATASET.HOLD_OUT, see `own_splits`.

    Raises:
        UserError: See `own_splits`; or DATASET.ROOT is empty, or the config asks for folds and names a file of
            validation images.
    """
    if not cfg.DATASET.ROOT:
        raise UserError("DATASET.ROOT is empty; data set 'own' needs a folder with one folder per class, or a list")
    keys = cfg.DATASET.HOLD_OUT
    if cfg.DATASET.VALID_JSON and keys.FOLDS:
        raise UserError(f"DATASET.HOLD_OUT.FOLDS is {keys.FOLDS}, but DATASET.VALID_JSON names the validation images")
    fraction = 0 if cfg.DATASET.VALID_JSON else keys.VALID  # another file may have the validation images
    rule = HoldOut(fraction, keys.TEST, keep=keys.KEEP, seed=keys.SEED, folds=keys.FOLDS, fold=keys.FOLD)
    return own_splits(cfg.DATASET.ROOT, rule, group=keys.GROUP)


def fitting_settings(cfg: CfgNode) -> list[Any]:
    """Return overrides that reduce the batch size if there are few images, see `smaller_batch`.

    Args:
        cfg: Config of own images.

    Raises:
        UserError: The images cannot be read.
    """
    with _without_log():
        images = len(configured_splits(cfg)["train"].labels)
    return smaller_batch(cfg, images)


def has_test_images(cfg: CfgNode) -> bool:
    """Return whether a config has test images: those of DATASET.TEST_JSON, or of its own images.

    Raises:
        UserError: The own images cannot be read.
    """
    if cfg.DATASET.TEST_JSON or cfg.DATASET.DATASET != "own":
        return bool(cfg.DATASET.TEST_JSON)
    with _without_log():
        return "test" in configured_splits(cfg)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Within the block, log nothing: the training reads the same images later, and logs what it finds."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
