"""Image files that are decoded on access."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.images.bad_images import BadImage, BadImages, no_replacement, replacements
from longtail.data.images.fast_decoding import FastDecoder, check_packages
from longtail.data.images.reading import read_image
from longtail.errors import UserError


@dataclass(frozen=True)
class ReadOptions:
    """How image files are read.

    Attributes:
        bad_images: Collects the files that are skipped; None: a file that cannot be read ends the run.
        in_memory: Keep the encoded files in memory.
        fast: Decode JPEG files with simplejpeg, and augment them with OpenCV.
    """

    bad_images: BadImages | None = None
    in_memory: bool = False
    fast: bool = False


def build_read_options(cfg: CfgNode) -> ReadOptions:
    """Build the options from DATASET.ON_BAD_IMAGE, BAD_IMAGE_LIMIT, CACHE and LOADER.

    Raises:
        UserError: A package of the loader is missing.
    """
    fast = cfg.DATASET.LOADER == "fast"
    if fast:
        check_packages()
    bad_images = BadImages(cfg.DATASET.BAD_IMAGE_LIMIT) if cfg.DATASET.ON_BAD_IMAGE == "skip" else None
    return ReadOptions(bad_images, in_memory=cfg.DATASET.CACHE == "ram", fast=fast)


class ImageFiles:
    """Images that stay on disk; `files[i]` decodes one image to (3, H, W) uint8.

    Args:
        paths: Image files, (N,).
        labels: Labels of all images, (N,); needed to replace bad images.
        limit: Maximum number of bad images that one `read` skips; 0: none.
        fast: Decode JPEG files with simplejpeg.
    """

    def __init__(
        self, paths: Sequence[str], labels: Tensor | None = None, *, limit: int = 0, fast: bool = False
    ) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.limit = limit
        self.fast = FastDecoder() if fast else None
        self.decode = self.fast or read_image

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.decode(self.paths[index])

    def read(self, index: int) -> tuple[Tensor, list[BadImage]]:
        """Decode an image, or its replacement if it cannot be read.

        Returns:
            The image, (3, H, W) uint8, and the images that were skipped.

        Raises:
            UserError: The image cannot be read and must not be skipped, or no replacement can be read.
        """
        try:
            return self[index], []
        except UserError as error:
            if not self.limit or self.labels is None:
                raise
            skipped = [BadImage(self.paths[index], str(error))]
        for other in replacements(self.labels, index):
            try:
                return self[other], skipped
            except UserError as error:
                skipped.append(BadImage(self.paths[other], str(error)))
                if len(skipped) > self.limit:
                    break
        raise no_replacement(skipped, int(self.labels[index]))

    def take_refused(self) -> list[str]:
        """Return the JPEG files that the fast decoder refused since the last call; Pillow has read them."""
        return self.fast.take_refused() if self.fast else []

    def sizes(self) -> list[int]:
        """Return the size of each file, see `file_size`."""
        return [file_size(path) for path in self.paths]

    def missing(self) -> list[BadImage]:
        """Return the files that do not exist."""
        return [BadImage(path, f"image {path} does not exist") for path in self.paths if not os.path.isfile(path)]


def file_size(path: str) -> int:
    """Return the size of a regular file in bytes; 0 if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
