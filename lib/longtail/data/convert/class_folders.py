"""Finding the images of a folder with one folder per class."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from longtail.data.convert.split import Split
from longtail.data.images.formats import FORMATS, is_image
from longtail.errors import UserError, errors_in
from longtail.user_files import check_path, is_folder, translating

logger = logging.getLogger(__name__)

# Folders that file servers, operating systems and tools create next to images, in addition to hidden ones.
SERVICE_FOLDERS = frozenset(
    (
        *("@eaDir", "@__thumb", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
        *("__MACOSX", "__pycache__"),
    )
)
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def read_class_folders(root: str | Path, classes: Sequence[str] | None = None) -> Split:
    """List the images below each class folder; classes are numbered in alphabetical order of their names.

    Hidden folders and those of file servers are skipped. A symbolic link is followed, but never to a folder that holds
    it or that was already visited. Files that are not images are skipped and counted by suffix in the log.

    Args:
        root: Folder with one folder per class.
        classes: Names of the classes, if they are known; their folders may be missing, but no others are allowed.

    Raises:
        UserError: The folder does not exist or has no class folders, a class has no images or is not among `classes`,
            or a folder cannot be read or belongs to two classes.
    """
    root = Path(root)
    folders = subfolders(root)
    if not folders:
        raise UserError(f"{root} has no subfolders; each class needs one that holds its images")
    if classes is not None and set(folders) - set(classes):
        others = sorted(set(folders) - set(classes))
        raise UserError(f"{root} has classes that the training images do not have: {', '.join(others[:10])}")
    found = _Walk(root)
    names = list(classes or folders)
    images = [found.images(name) if name in folders else [] for name in names]
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

    Raises:
        UserError: The folder does not exist or cannot be read.
    """
    names = subfolders(Path(root))
    splits = {SPLIT_NAMES[name.lower()]: Path(root) / name for name in names if name.lower() in SPLIT_NAMES}
    if "train" not in splits or len(splits) != len(names) or len(splits) < 2:
        return {}
    return splits if all(subfolders(folder) for folder in splits.values()) else {}


def subfolders(root: Path) -> list[str]:
    """Return the names of the folders in a folder in alphabetical order, without hidden ones and `SERVICE_FOLDERS`.

    Raises:
        UserError: The folder does not exist or cannot be read.
    """
    check_path(root, "folder")
    if not is_folder(root):
        raise UserError(f"folder {root} does not exist")
    with translating(root, "folder", verb="read"):
        return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not is_service(entry.name))


def is_service(name: str) -> bool:
    """Return whether a file or folder belongs to a tool and not to the data."""
    return name.startswith(".") or name in SERVICE_FOLDERS


class _Walk:
    """Lists the images of class folders and counts the files that it skips."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: Counter[str] = Counter()
        self.class_of: dict[str, str] = {}  # real path of a visited folder -> class

    def images(self, name: str) -> list[str]:
        """Return the image files of a class in alphabetical order."""
        return sorted(self._files(os.path.join(self.root, name), name))

    def log_left_out(self) -> None:
        """Log what the folders hold besides images."""
        if self.left_out:
            parts = ", ".join(f"{count:,} x {what}" for what, count in self.left_out.most_common(10))
            logger.info("%s: skipped: %s", self.root, parts)

    def _files(self, folder: str, name: str) -> Iterator[str]:
        real = os.path.realpath(folder)
        if self.class_of.get(real) == name or os.path.realpath(os.path.dirname(folder)).startswith(
            os.path.join(real, "")
        ):
            self.left_out["link to a folder that was already visited"] += 1
            return
        if real in self.class_of:
            raise UserError(f"folder {real} belongs to two classes, {self.class_of[real]} and {name}, through a link")
        self.class_of[real] = name
        with translating(folder, "folder", verb="read"):
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            for entry in entries:
                if entry.is_dir() and not is_service(entry.name):
                    yield from self._files(entry.path, name)
                elif entry.is_dir() or is_service(entry.name):
                    self.left_out["hidden or service folder" if entry.is_dir() else "hidden file"] += 1
                elif not entry.is_file():
                    self.left_out["link without a target" if entry.is_symlink() else "file that is not regular"] += 1
                elif is_image(entry.path):
                    yield entry.path
                else:
                    self.left_out[os.path.splitext(entry.name)[1].lower() or "file without suffix"] += 1
