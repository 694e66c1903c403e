"""One split of a data set: labels at hand, images when they are asked for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from longtail.data.images import SMALL_SIDE, image_size, read_image, read_images
from longtail.errors import UserError


class ImageFiles:
    """Images that stay on disk; `files[i]` decodes one to (3, H, W) uint8."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> Tensor:
        return read_image(self.paths[position])


@dataclass(frozen=True)
class ImageSet:
    """Labels and images of one split.

    Attributes:
        name: what messages call it.
        labels: class ids, (N,) int64.
        num_classes: C.
        load: decodes the images: (N, 3, H, W) uint8 in memory, or files that are decoded one by one.
        paths: image files; empty where the images do not come from files.
        generated: how many images at the end of the set were generated from the others; samplers may draw them, but
            they count neither as images of their class nor in the length of an epoch.
    """

    name: str
    labels: Tensor
    num_classes: int
    load: Callable[[], Tensor | ImageFiles]
    paths: Sequence[str] = ()
    generated: int = 0

    @classmethod
    def of_files(cls, name: str, paths: Sequence[str], labels: Sequence[int], num_classes: int) -> "ImageSet":
        """Make a set of image files; small images of one size are decoded once and held in memory."""
        return cls(name, torch.tensor(labels), num_classes, lambda: _load_files(name, paths), paths)

    @classmethod
    def in_memory(cls, name: str, images: Tensor, labels: Sequence[int], num_classes: int) -> "ImageSet":
        """Make a set of decoded images (N, 3, H, W) uint8."""
        return cls(name, torch.tensor(labels), num_classes, lambda: images)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def originals(self) -> int:
        """Images that were not generated; they come first."""
        return len(self) - self.generated

    def class_counts(self) -> list[int]:
        """Return the original images of each class, (C,)."""
        counts: list[int] = torch.bincount(self.labels[: self.originals], minlength=self.num_classes).tolist()
        return counts

    def fingerprint(self) -> str:
        """Return a digest of the labels and file names in their order: equal for the same split.

        Images that have no file names are told apart by their pixels.
        """
        digest = hashlib.sha256(f"{self.num_classes} {len(self)} ".encode())
        digest.update(self.labels.numpy().tobytes())
        digest.update("\n".join(Path(path).name for path in self.paths).encode())
        if self.generated:
            digest.update(f"{self.generated} generated".encode())
        pixels = None if self.paths else self.load()
        if isinstance(pixels, Tensor):
            digest.update(pixels.numpy().data)
        return digest.hexdigest()[:16]


def _load_files(name: str, paths: Sequence[str]) -> Tensor | ImageFiles:
    """Decode all files where they are small, else check that they are there."""
    if max(image_size(paths[0])) <= SMALL_SIDE:
        images = read_images(paths)
        if images is not None:
            return images
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise UserError(f"{name}: {len(absent)} of {len(paths)} image files do not exist, the first is {absent[0]}")
    return ImageFiles(paths)
