"""Images that cannot be read, in runs that go on without them.

The rule: the next image of the same class, in the order of the set, takes the place of one that cannot be read. So the
length of an epoch, the class counts, the order of the samples and every random number stay as they were, and a run that
is continued gives the same weights as one that was never stopped.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtail.errors import UserError

logger = logging.getLogger(__name__)

SHOWN = 20  # files that results.json names


class Fault(NamedTuple):
    """A file that could not be read, and why in one line."""

    path: str
    message: str


class BadImages:
    """The files of a run that could not be read: each is named once and counted once.

    Args:
        limit: most files that may be skipped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.files: set[str] = set()

    def add(self, faults: Iterable[Fault]) -> None:
        """Take in files; those that are known already change nothing.

        Raises:
            UserError: there are more than the limit.
        """
        for path, message in faults:
            if path in self.files:
                continue
            if len(self.files) == self.limit:
                raise UserError(
                    f"more image files cannot be read than DATASET.BAD_IMAGE_LIMIT ({self.limit}) allows; the last: "
                    f"{message}"
                )
            self.files.add(path)
            logger.warning("%s; the next image of its class takes its place", message)

    def merge(self, files: Iterable[str]) -> None:
        """Take in files that other processes, or an earlier part of this run, have named."""
        self.files.update(files)

    def check(self) -> None:
        """Refuse to go on when the processes together have skipped too many files.

        Raises:
            UserError: there are more than the limit.
        """
        if len(self.files) > self.limit:
            raise UserError(
                f"{len(self.files)} image files cannot be read, DATASET.BAD_IMAGE_LIMIT allows {self.limit}; one of "
                f"them: {min(self.files)}"
            )

    def summary(self) -> dict[str, Any]:
        """Return what results.json says: {"bad_images": {"count", "files"}}, nothing where there were none."""
        if not self.files:
            return {}
        return {"bad_images": {"count": len(self.files), "files": sorted(self.files)[:SHOWN]}}


def stand_ins(labels: Tensor, position: int) -> Iterator[int]:
    """Yield the positions that may take the place of one: the others of its class, from the next one on, in a ring.

    Args:
        labels: class ids of the whole set, (N,).
        position: of the image that cannot be read.
    """
    same = torch.nonzero(labels == labels[position]).flatten().tolist()
    own = same.index(position)
    yield from same[own + 1 :]
    yield from same[:own]
