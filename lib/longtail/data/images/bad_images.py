"""Skipping image files that cannot be read.

A bad image is replaced by the next readable image of the same class, in the order of the data set. The length of an
epoch, the class counts, the order of the samples and all random numbers therefore do not change, and a resumed run ends
with the same weights as an uninterrupted one.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtail.errors import UserError

logger = logging.getLogger(__name__)

SHOWN = 20  # files listed in results.json


class BadImage(NamedTuple):
    """An image file that cannot be read.

    Attributes:
        path: Image file.
        message: One line that names the file and the reason.
    """

    path: str
    message: str


class BadImages:
    """The image files of a run that could not be read. Each file is logged and counted once.

    Args:
        limit: Maximum number of files that may be skipped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.files: set[str] = set()

    def add(self, images: Iterable[BadImage]) -> None:
        """Add bad images and log them; known files are ignored.

        Raises:
            UserError: The limit is exceeded.
        """
        for path, message in images:
            if path in self.files:
                continue
            if len(self.files) == self.limit:
                raise UserError(
                    f"more image files cannot be read than DATASET.BAD_IMAGE_LIMIT ({self.limit}) allows; the last "
                    f"one: {message}"
                )
            self.files.add(path)
            logger.warning("%s; it is replaced by the next image of its class", message)

    def merge(self, files: Iterable[str]) -> None:
        """Add files that other processes, or an earlier part of this run, have already logged."""
        self.files.update(files)

    def check(self) -> None:
        """Check the number of files that all processes together have skipped.

        Raises:
            UserError: The limit is exceeded.
        """
        if len(self.files) > self.limit:
            raise UserError(
                f"{len(self.files)} image files cannot be read, and DATASET.BAD_IMAGE_LIMIT allows {self.limit}; one "
                f"of them: {min(self.files)}"
            )

    def summary(self) -> dict[str, Any]:
        """Return the entry for results.json: {"bad_images": {"count", "files"}}, empty without bad images."""
        if not self.files:
            return {}
        return {"bad_images": {"count": len(self.files), "files": sorted(self.files)[:SHOWN]}}


def replacements(labels: Tensor, index: int) -> Iterator[int]:
    """Yield the indices of the other images of a class, starting after `index` and wrapping around.

    Args:
        labels: Labels of all images, (N,).
        index: Index of the image to replace.
    """
    same_class = torch.nonzero(labels == labels[index]).flatten().tolist()
    position = same_class.index(index)
    yield from same_class[position + 1 :]
    yield from same_class[:position]


def no_replacement(bad_images: list[BadImage], label: int) -> UserError:
    """Return the error for a class without a readable image.

    Args:
        bad_images: The images of the class that were tried.
        label: Class id.
    """
    return UserError(
        f"{len(bad_images)} images of class {label} cannot be read and there is no replacement; {bad_images[0].message}"
    )
