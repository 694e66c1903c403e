"""Own images: a folder of classes, a folder of splits, or a list, read as splits."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import KEYS, OWN_IMAGES, load_config
from longtail.data.annotations import load_annotations
from longtail.data.batch_size import smaller_batch
from longtail.data.convert.class_folders import read_class_folders, split_folders
from longtail.data.convert.groups import FOLDER, parent_folders
from longtail.data.convert.hold_out import HoldOut, check_rule, divide
from longtail.data.convert.own_lists import GROUP, read_own_lists
from longtail.data.convert.split import Split, check_apart
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
    else:
        splits = _read_folders(root, group)
    return splits if hold_out is None else _divided(splits, hold_out, root)


def _read_folders(root: str | Path, group: str) -> dict[str, Split]:
    """Return the splits of a folder of classes or of splits."""
    if group not in ("", GROUP, FOLDER):
        raise UserError(f"DATASET.HOLD_OUT.GROUP is {group!r}, but {root} is a folder; allowed: '{FOLDER}'")
    folders = split_folders(root)
    sure = bool(folders) or group == FOLDER
    train = read_class_folders(folders.pop("train", root), sure=sure)
    if group == FOLDER:
        train = replace(train, groups=parent_folders(train.paths))
    splits = {"train": train, **{name: read_class_folders(path, train.classes) for name, path in folders.items()}}
    if folders:  # within a split, each folder is read once
        check_apart(splits)
    return splits


def _divided(splits: dict[str, Split], rule: HoldOut, root: str | Path) -> dict[str, Split]:
    """Return splits with what is held out of the training images; validation images are not, if there are some."""
    for key, number, name, kind in (
        ("FOLDS", rule.folds, "valid", "validation"),
        ("TEST", rule.test, "test", "test"),
    ):
        if number and name in splits:
            raise UserError(f"DATASET.HOLD_OUT.{key} is {number:g}, but {root} has {kind} images already; set it to 0")
    if "valid" in splits:
        rule = replace(rule, valid=0)
        if not rule.test:
            return splits
    parts = divide(splits["train"], rule)
    held_out = {"valid": parts.valid, **({"test": parts.test} if parts.test else {})}
    return {"train": parts.train, **held_out, **{name: split for name, split in splits.items() if name != "train"}}


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
        UserError: See `own_splits` and `configured_rule`; or DATASET.ROOT is empty.
    """
    if not cfg.DATASET.ROOT:
        raise UserError("DATASET.ROOT is empty; data set 'own' needs a folder with one folder per class, or a list")
    return own_splits(cfg.DATASET.ROOT, configured_rule(cfg), group=cfg.DATASET.HOLD_OUT.GROUP)


def configured_rule(cfg: CfgNode) -> HoldOut:
    """Return the rule of DATASET.HOLD_OUT for own images, checked without reading them.

    Raises:
        UserError: A number is out of range.
    """
    keys = cfg.DATASET.HOLD_OUT
    fraction = 0 if cfg.DATASET.VALID_JSON else keys.VALID  # another file may have the validation images
    rule = HoldOut(fraction, keys.TEST, keep=keys.KEEP, seed=keys.SEED, folds=keys.FOLDS, fold=keys.FOLD)
    check_rule(rule)
    return rule


def check_hold_out(cfg: CfgNode) -> None:
    """Refuse keys that hold out images of other data sets than own images, or images besides those of a file.

    Raises:
        UserError: Such a key is set; the message names it.
    """
    keys, dataset = cfg.DATASET.HOLD_OUT, cfg.DATASET.DATASET
    for name, value in keys.items() if dataset != "own" else ():
        default = KEYS[f"DATASET.HOLD_OUT.{name}"].default
        if value != default:
            raise UserError(
                f"DATASET.HOLD_OUT.{name} is {value!r}, but nothing is held out of data set {dataset!r}; leave it at "
                f"{default!r}, or train on own images (DATASET.DATASET own)"
            )
    for name, file, kind in (("FOLDS", "VALID_JSON", "validation"), ("TEST", "TEST_JSON", "test")):
        if keys[name] and cfg.DATASET[file]:
            raise UserError(
                f"DATASET.HOLD_OUT.{name} is {keys[name]:g}, but DATASET.{file} names the {kind} images; set it to 0"
            )


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
