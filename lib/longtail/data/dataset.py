"""One split of a data set: labels at hand, images when they are asked for."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtail.data.images.bad_images import BadImages, Fault, stand_ins
from longtail.data.images.files import ImageFiles, Reading, nothing_left
from longtail.data.images.memory import MemoryFiles
from longtail.data.images.reading import SMALL_SIDE, first_size, read_images
from longtail.errors import UserError

FROM_DISK = Reading()


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
        reading: how image files are read.
    """

    name: str
    labels: Tensor
    num_classes: int
    load: Callable[[], Tensor | ImageFiles]
    paths: Sequence[str] = ()
    generated: int = 0
    reading: Reading = FROM_DISK

    @classmethod
    def of_files(
        cls,
        name: str,
        paths: Sequence[str],
        labels: Sequence[int],
        num_classes: int,
        reading: Reading = FROM_DISK,
    ) -> "ImageSet":
        """Make a set of image files; small images of one size are decoded once and held in memory."""
        ids = torch.tensor(labels)
        return cls(
            name,
            ids,
            num_classes,
            lambda: _load_files(name, paths, ids, reading),
            paths,
            reading=reading,
        )

    @classmethod
    def in_memory(cls, name: str, images: Tensor, labels: Sequence[int], num_classes: int) -> "ImageSet":
        """Make a set of decoded images (N, 3, H, W) uint8."""
        return cls(name, torch.tensor(labels), num_classes, lambda: images)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bad_images(self) -> BadImages | None:
        """Files that could not be read and were skipped; None where a bad file ends the run."""
        return self.reading.bad_images

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
        digest.update("\n".join(map(os.path.basename, self.paths)).encode())
        if self.generated:
            digest.update(f"{self.generated} generated".encode())
        pixels = None if self.paths else self.load()
        if isinstance(pixels, Tensor):
            digest.update(pixels.numpy().data)
        return digest.hexdigest()[:16]


def _load_files(name: str, paths: Sequence[str], labels: Tensor, reading: Reading) -> Tensor | ImageFiles:
    """Decode all files where they are small, else check that they are there."""
    bad = reading.bad_images
    if max(first_size(paths, skip=bad is not None)) <= SMALL_SIDE:
        unreadable: dict[int, UserError] = {}
        images = read_images(paths, unreadable if bad else None)
        if images is not None:
            if bad:
                bad.add(Fault(paths[position], str(error)) for position, error in sorted(unreadable.items()))
            return _replace(images, labels, unreadable, paths)
    limit = bad.limit if bad else 0
    files = MemoryFiles(name, paths, labels, limit) if reading.in_memory else ImageFiles(paths, labels, limit)
    absent = files.absent()
    if bad:
        bad.add(absent)
    elif absent:
        raise UserError(
            f"{name}: {len(absent)} of {len(paths)} image files do not exist, the first is {absent[0].path}"
        )
    return files


def _replace(images: Tensor, labels: Tensor, unreadable: dict[int, UserError], paths: Sequence[str]) -> Tensor:
    """Fill the places of images that could not be read with what takes their place; in place."""
    for position, error in unreadable.items():
        other = next((other for other in stand_ins(labels, position) if other not in unreadable), None)
        if other is None:
            raise nothing_left([Fault(paths[position], str(error))], int(labels[position]))
        images[position] = images[other]
    return images
