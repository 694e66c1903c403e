"""Finding the image files below a folder."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from longtail.data.images.formats import is_image
from longtail.errors import UserError
from longtail.output_folders import is_output
from longtail.user_files import check_path, check_text, is_folder, translating

logger = logging.getLogger(__name__)

# Folders that file servers, operating systems and tools create next to images, in addition to hidden ones.
SERVICE_FOLDERS = frozenset(
    (
        *("@eaDir", "@__thumb", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
        *("__MACOSX", "__pycache__"),
    )
)


def subfolders(root: Path) -> list[str]:
    """Return the names of the folders in a folder in alphabetical order, without those that hold no data.

    These are hidden ones, `SERVICE_FOLDERS`, and those that hold outputs of this project and no other images.

    Raises:
        UserError: The folder does not exist or cannot be read.
    """
    check_path(root, "folder")
    if not is_folder(root):
        raise UserError(f"folder {root} does not exist")
    with translating(root, "folder", verb="read"):
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not is_service(entry.name))
    return [name for name in names if not _holds_outputs_only(str(root / name))]


def is_service(name: str) -> bool:
    """Return whether a file or folder belongs to a tool and not to the data."""
    return name.startswith(".") or name in SERVICE_FOLDERS


def _holds_outputs_only(folder: str) -> bool:
    """Return whether a folder is an output, or holds outputs and no images outside of them, as OUTPUT_DIR does."""
    found, visited, folders = False, set(), [folder]
    while folders:
        path = folders.pop()
        real = os.path.realpath(path)
        if real in visited:
            continue
        visited.add(real)
        if is_output(path):
            found = True
            continue
        try:
            for entry in os.scandir(path):
                if entry.is_dir() and not is_service(entry.name):
                    folders.append(entry.path)
                elif entry.is_file() and not is_service(entry.name) and is_image(entry.path):
                    return False  # at the first image of a class
        except OSError:  # reported when the images are listed
            return False
    return found


class ImageWalk:
    """Lists the images below folders and counts the files that it skips.

    Hidden folders, those of file servers, and outputs of this project (run directories, packed and generated images)
    are skipped. A symbolic link is followed unless it leads to a folder that contains it or that was already visited.

    Args:
        root: Folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: Counter[str] = Counter()
        self.class_of: dict[str, str] = {}  # real path of a visited folder -> class
        self.outputs: dict[str, str] = {}  # folder of a class -> an output of this project in its folder

    def images(self, folder: str = "") -> list[str]:
        """Return the image files of a class, or of the whole root, in alphabetical order."""
        return sorted(self._files(os.path.join(self.root, folder) if folder else str(self.root), folder))

    def count_loose(self, classes: Collection[str]) -> None:
        """Count what belongs to no class: images outside the class folders, and folders of outputs.

        Args:
            classes: Names of the class folders, all that `subfolders` returns.
        """
        with translating(self.root, "folder", verb="read"):
            for entry in os.scandir(self.root):
                if entry.is_file() and is_image(entry.path):
                    self.left_out["image outside the class folders"] += 1
                elif entry.is_dir() and not is_service(entry.name) and entry.name not in classes:
                    self.left_out[f"folder of outputs ({entry.name})"] += 1

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
                if entry.is_dir() and not is_service(entry.name) and is_output(entry.path):
                    self.outputs.setdefault(name, entry.path)
                    self.left_out["run directory or other output"] += 1
                elif entry.is_dir() and not is_service(entry.name):
                    yield from self._files(entry.path, name)
                elif entry.is_dir() or is_service(entry.name):
                    self.left_out["hidden or service folder" if entry.is_dir() else "hidden file"] += 1
                elif not entry.is_file():
                    self.left_out["link without a target" if entry.is_symlink() else "file that is not regular"] += 1
                elif is_image(entry.path):
                    check_text(entry.path, "image")
                    yield entry.path
                else:
                    self.left_out[os.path.splitext(entry.name)[1].lower() or "file without suffix"] += 1
