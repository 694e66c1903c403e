"""The images to predict: files, folders and lists of files, decoded in order."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from longtail.data.annotations import read_annotations
from longtail.data.images.folders import ImageWalk
from longtail.data.images.in_workers import in_workers
from longtail.data.images.reading import read_image
from longtail.errors import UserError
from longtail.user_files import check_text, is_file, is_folder, read_text

LISTS = (".txt", ".json")
FEW_FILES = 64  # for at most this number of files, starting worker processes takes longer than decoding


class Decoded(NamedTuple):
    """The evaluation view of one image, or the reason why it cannot be read.

    Attributes:
        path: File as named by the user.
        view: Evaluation view of the image, (3, S, S) uint8; None if it cannot be read.
        error: Reason; empty if it can be read.
    """

    path: str
    view: Tensor | None
    error: str = ""


def list_images(names: Sequence[str]) -> list[str]:
    """Return the image files that a command names.

    Args:
        names: Image files; folders, whose images are listed recursively in alphabetical order; and lists: a .txt file
            with one path per line, or an annotation file (.json). Paths in a list are relative to its folder.

    Raises:
        UserError: A folder has no images or cannot be read; or a list is empty, has labels, or cannot be read.
    """
    paths: list[str] = []
    for name in names:
        path = Path(name)
        if is_folder(name):  # not of the path: an empty name is no folder
            found = ImageWalk(path).images()
        elif path.suffix.lower() in LISTS:
            found = _read_list(path)
        elif path.suffix.lower() == ".csv":
            raise UserError(f"{name} is a table; a list of images to predict is a .txt file with one path per line")
        else:
            check_text(name, "image")
            found = [name]
        if not found:
            raise UserError(f"{name} has no images")
        paths += found
    return paths


def _read_list(path: Path) -> list[str]:
    if path.suffix.lower() == ".json":
        return read_annotations(path).paths
    lines = io.StringIO(read_text(path, "list"), newline=None)
    paths = [str(path.parent / line) for line in map(str.strip, lines) if line]
    labeled = next((name for name in paths if not is_file(name) and is_file(_without_label(name))), None)
    if labeled is not None:
        raise UserError(
            f"list {path} has lines with more than a path, as {os.path.relpath(labeled, path.parent)!r}; a list of "
            "images to predict has one path per line, without labels"
        )
    return paths


def _without_label(line: str) -> str:
    """Return the path in a line "path label" of a list to train on."""
    return line.rpartition("\t" if "\t" in line else " ")[0].rstrip()


def decode(paths: Sequence[str], view: Callable[[Tensor], Tensor], *, workers: int = 0) -> Iterator[Decoded]:
    """Yield every image in order; a file that cannot be read is reported instead of ending the iteration.

    Args:
        paths: Image files, (N,).
        view: Pixels (3, H, W) uint8 to the evaluation view (3, S, S) uint8.
        workers: Worker processes, limited to the processors; 0: decode in this process.
    """
    yield from in_workers(_Files(paths, view), workers if len(paths) > FEW_FILES else 0, batch_size=None)


class _Files(Dataset[Decoded]):
    def __init__(self, paths: Sequence[str], view: Callable[[Tensor], Tensor]) -> None:
        self.paths = paths
        self.view = view

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Decoded:
        path = self.paths[index]
        try:
            return Decoded(path, self.view(read_image(path)))
        except UserError as error:
            return Decoded(path, None, str(error))
