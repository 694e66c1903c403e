"""Image files that are decoded one by one, when they are needed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.images.bad_images import BadImages, Fault, stand_ins
from longtail.data.images.reading import read_image
from longtail.errors import UserError


@dataclass(frozen=True)
class Reading:
    """How image files are read.

    Attributes:
        bad_images: takes in the files that are skipped; None: a file that cannot be read ends the run.
        in_memory: keep the encoded files in memory.
    """

    bad_images: BadImages | None = None
    in_memory: bool = False


def build_reading(cfg: CfgNode) -> Reading:
    """Build it from DATASET.ON_BAD_IMAGE, BAD_IMAGE_LIMIT and CACHE."""
    data = cfg.DATASET
    return Reading(
        BadImages(data.BAD_IMAGE_LIMIT) if data.ON_BAD_IMAGE == "skip" else None,
        data.CACHE == "ram",
    )


class ImageFiles:
    """Images that stay on disk; `files[i]` decodes one to (3, H, W) uint8.

    Args:
        paths: the files, (N,).
        labels: class ids, (N,); needed to find what takes the place of a bad image.
        limit: most bad images that `read` passes over; 0: none.
    """

    def __init__(self, paths: Sequence[str], labels: Tensor | None = None, limit: int = 0) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.limit = limit

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> Tensor:
        return read_image(self.paths[position])

    def read(self, position: int) -> tuple[Tensor, list[Fault]]:
        """Decode an image, or what takes its place.

        Returns:
            the image (3, H, W) uint8, and the files that were passed over.

        Raises:
            UserError: it cannot be read, and may not be passed over or nothing can take its place.
        """
        try:
            return self[position], []
        except UserError as error:
            if not self.limit or self.labels is None:
                raise
            faults = [Fault(self.paths[position], str(error))]
        for other in stand_ins(self.labels, position):
            try:
                return self[other], faults
            except UserError as error:
                faults.append(Fault(self.paths[other], str(error)))
                if len(faults) > self.limit:
                    break
        raise nothing_left(faults, int(self.labels[position]))

    def absent(self) -> list[Fault]:
        """Return the files that do not exist."""
        return [Fault(path, f"image {path} does not exist") for path in self.paths if not os.path.isfile(path)]


def nothing_left(faults: Sequence[Fault], label: int) -> UserError:
    """Return the error of a class that has no image to take the place of a bad one."""
    return UserError(
        f"{len(faults)} images of class {label} cannot be read, and none takes their place; {faults[0].message}"
    )
