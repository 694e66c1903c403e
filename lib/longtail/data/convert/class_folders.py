"""Finding the images of a folder with one folder per class."""

import logging
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from longtail.data.convert.split import Split
from longtail.data.images.folders import ImageWalk, subfolders
from longtail.data.images.formats import FORMATS
from longtail.errors import UserError, errors_in

logger = logging.getLogger(__name__)

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def read_class_folders(root: str | Path, classes: Sequence[str] | None = None, *, sure: bool = False) -> Split:
    """List the images below each class folder; classes are numbered in alphabetical order of their names.

    Hidden folders, those of file servers, and folders of outputs such as OUTPUT_DIR are skipped. A symbolic link is
    followed, but never to a folder that holds it or that was already visited. Files that are not images are skipped and
    counted by suffix in the log.

    Args:
        root: Folder with one folder per class.
        classes: Names of the classes, if they are known; their folders may be missing, but no others are allowed.
        sure: Whether the folders are known to be classes and not splits, so that they may have the same subfolders.

    Raises:
        UserError: The folder does not exist or has no class folders, a class has no images or is not among `classes`,
            the folders look like splits, or a folder holds both images and outputs such as run directories, cannot be
            read, or belongs to two classes.
    """
    root = Path(root)
    folders = _class_folders(root)
    if classes is None:
        _check_classes(root, folders)
    elif set(folders) - set(classes):
        others = sorted(set(folders) - set(classes))
        raise UserError(f"{root} has classes that the training images do not have: {', '.join(others[:10])}")
    found = ImageWalk(root)
    names = list(classes or folders)
    images = [found.images(folders[name]) if name in folders else [] for name in names]
    if found.outputs:
        folder, output = next(iter(found.outputs.items()))
        raise UserError(f"folder {root / folder} holds images and an output of longtail, {output}; move one of them")
    if classes is None and not sure:
        _check_not_splits(root, {folders[name]: paths for name, paths in zip(names, images, strict=True)})
    found.count_loose(set(folders.values()))
    found.log_left_out()
    empty = [name for name, paths in zip(names, images, strict=True) if not paths]
    if empty and classes is None:
        kinds = ", ".join(FORMATS)
        raise errors_in(
            f"folder {root}",
            [f"{root / name} holds no images ({kinds})" for name in empty],
            kind="classes without images",
        )
    if empty:
        logger.warning("  WARNING: %s has no images of: %s", root, ", ".join(empty[:10]))
    labels = [label for label, paths in enumerate(images) for _ in paths]
    return Split([path for paths in images for path in paths], labels, num_classes=len(names), classes=names)


def split_folders(root: str | Path) -> dict[str, Path]:
    """Return {"train": folder, "valid": folder, ...} for a folder of splits such as train/ and val/; else {}.

    Two folders with names of splits, or `train` alone, are splits. One such name among others is a class.

    Raises:
        UserError: The folder does not exist or cannot be read; or beside splits there are other folders, a split is
            there twice, has no class folders, or is not there for training.
    """
    root = Path(root)
    names = subfolders(root)
    of_splits = [name for name in names if name.lower() in SPLIT_NAMES]
    splits = {SPLIT_NAMES[name.lower()]: root / name for name in of_splits}
    alone = len(names) == 1 and "train" in splits and bool(subfolders(splits["train"]))
    if len(of_splits) < 2 and not alone:
        return {}
    shown = f"{root} holds the splits {', '.join(of_splits)}"
    if "train" not in splits:
        raise UserError(f"{shown}, but no folder train")
    if len(splits) < len(of_splits):
        raise UserError(f"{shown}, of which two mean the same; allowed: one each for train, valid and test")
    only = f"to use its training images only, name their folder: {splits['train']}"
    if len(of_splits) < len(names):
        others = ", ".join(name for name in names if name not in of_splits)
        raise UserError(f"{shown}, and other folders: {others}; {only}")
    empty = [str(folder) for folder in splits.values() if not subfolders(folder)]
    if empty:
        raise UserError(f"{shown}, but there are no class folders in {', '.join(empty)}; {only}")
    return splits


def class_name(text: str) -> str:
    """Return the name of a class as it is compared: characters that look the same are the same (Unicode NFC)."""
    return unicodedata.normalize("NFC", text)


def _class_folders(root: Path) -> dict[str, str]:
    """Return the folder of each class, in alphabetical order of the classes."""
    folders = subfolders(root)
    if not folders:
        raise UserError(f"{root} has no subfolders; each class needs one that holds its images")
    named = {class_name(folder): folder for folder in folders}
    if len(named) < len(folders):
        twice = next(folder for folder in folders if named[class_name(folder)] != folder)
        raise UserError(f"{root} holds two folders {class_name(twice)!r}, which differ in their Unicode form only")
    return dict(sorted(named.items()))


def _check_classes(root: Path, folders: Mapping[str, str]) -> None:
    """Refuse a single class, and splits inside of classes, which would be mixed."""
    inner = {inner for folder in folders.values() for inner in subfolders(root / folder)}
    if len(folders) < 2:
        folder = root / next(iter(folders.values()))
        hint = f"; if its folders {', '.join(sorted(inner)[:3])} are the classes, name {folder}" if inner else ""
        raise UserError(f"{root} holds one class, {folder.name}; at least two are needed{hint}")
    if len(inner) > 1 and all(name.lower() in SPLIT_NAMES for name in inner):
        splits = ", ".join(sorted(inner))
        first = sorted(inner)[-1]
        raise UserError(
            f"the class folders of {root} hold splits ({splits}), which would be mixed; name folders as "
            f"{root / first / next(iter(folders.values()))} instead"
        )


def _check_not_splits(root: Path, images: Mapping[str, Sequence[str]]) -> None:
    """Refuse folders that look like splits: one has the name of a split, or all hold the same classes.

    Args:
        root: Folder.
        images: Images of each folder in it.

    Raises:
        UserError: They look like splits.
    """
    inner = {folder: _inner(root / folder, paths) for folder, paths in images.items()}
    first, *others = inner.values()
    alike = list(inner) if len(first) > 1 and all(names == first for names in others) else []
    pairs = ([split, other] for split in inner if _is_like_split(split) for other in inner if other != split)
    alike = alike or next((pair for pair in pairs if _same_classes(*(inner[folder] for folder in pair))), [])
    if alike:
        shared = sorted(set.intersection(*(inner[folder] for folder in alike)))
        only = root / next((folder for folder in alike if "train" in folder.lower()), alike[0])
        raise UserError(
            f"{root} holds folders with the same subfolders, as splits have: {', '.join(sorted(alike)[:3])} with "
            f"{', '.join(shared[:3])}; splits are named train, val and test; to use one folder only, name it: {only}; "
            "if the folders are classes, list their images in a .csv file, or train with DATASET.HOLD_OUT.GROUP folder"
        )


def _inner(folder: Path, paths: Sequence[str]) -> set[str]:
    """Return the names of the subfolders of a folder that hold images; none if it holds images itself."""
    start = len(os.path.join(folder, ""))
    parts = [path[start:].partition(os.sep) for path in paths]
    return {name for name, _, _ in parts} if all(rest for _, _, rest in parts) else set()


def _is_like_split(name: str) -> bool:
    """Return whether a word in a name is that of a split, as in training_set or val2017."""
    return any(word in (*SPLIT_NAMES, "dev", "eval") for word in re.split(r"[^a-z]+", name.lower()))


def _same_classes(split: set[str], other: set[str]) -> bool:
    """Return whether two folders hold the same classes; in one of them some may be missing."""
    return bool(split and other) and len(split | other) > 1 and (split <= other or other <= split)
