"""One split of a data set: its labels, and its images on demand."""

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from longtail.data.images.bad_images import BadImage, BadImages, no_replacement, replacements
from longtail.data.images.files import ImageFiles, ReadOptions
from longtail.data.images.memory import MemoryFiles
from longtail.data.images.packed import PackedFiles, PackedPixels
from longtail.data.images.reading import SMALL_SIDE, first_size, read_images
from longtail.errors import UserError

DEFAULT_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class ImageSet:
    """Labels and images of one split.

    Attributes:
        name: Name of the split in messages.
        labels: Labels of all images, (N,) int64.
        num_classes: Number of classes C.
        load: Returns the images: (N, 3, H, W) uint8 in memory, or files that are decoded on access.
        paths: Image files, (N,); empty if the images do not come from files.
        num_generated: Number of images at the end of the set that were generated from the others. Samplers may draw
            them, but class counts and the length of an epoch do not include them.
        read_options: How image files are read.
        class_names: Names of the classes, (C,); empty if they have none.
        pixels: Where the pixels are stored, if they were packed; `paths` then names the original files.
        weights: Weight of each image in the training loss, (N,) float32; None if they have none.
        held_out: Whether the images were chosen out of the training images by a seed.
    """

    name: str
    labels: Tensor
    _: KW_ONLY
    num_classes: int
    load: Callable[[], Tensor | ImageFiles]
    paths: Sequence[str] = ()
    num_generated: int = 0
    read_options: ReadOptions = DEFAULT_OPTIONS
    class_names: Sequence[str] = ()
    pixels: PackedPixels | None = None
    weights: Tensor | None = None
    held_out: bool = False

    @classmethod
    def from_files(
        cls,
        name: str,
        paths: Sequence[str],
        *,
        labels: Sequence[int],
        num_classes: int,
        read_options: ReadOptions = DEFAULT_OPTIONS,
        class_names: Sequence[str] = (),
        pixels: PackedPixels | None = None,
        weights: Sequence[float] | None = None,
    ) -> "ImageSet":
        """Create a set of image files; small images of one size are decoded once and kept in memory.

        With `pixels` the images are read from there, and `paths` only serves for messages.
        """
        ids = torch.tensor(labels)

        @functools.cache
        def load() -> Tensor | ImageFiles:
            if pixels is not None:
                return PackedFiles(paths, pixels, labels=ids, fast=read_options.fast)
            return _load_files(name, paths, labels=ids, options=read_options)

        return cls(
            name,
            ids,
            num_classes=num_classes,
            load=load,
            paths=paths,
            read_options=read_options,
            class_names=class_names,
            pixels=pixels,
            weights=None if weights is None else torch.tensor(weights, dtype=torch.float32),
        )

    @classmethod
    def from_tensor(
        cls, name: str, images: Tensor, *, labels: Sequence[int], num_classes: int, class_names: Sequence[str] = ()
    ) -> "ImageSet":
        """Create a set of decoded images (N, 3, H, W) uint8."""
        ids = torch.tensor(labels)
        return cls(name, ids, num_classes=num_classes, load=lambda: images, class_names=class_names)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bad_images(self) -> BadImages | None:
        """The image files that were skipped; None if a bad image ends the run."""
        return self.read_options.bad_images

    @property
    def num_original(self) -> int:
        """Number of images that were not generated; they come first."""
        return len(self) - self.num_generated

    def class_counts(self) -> list[int]:
        """Return the number of original images per class, (C,)."""
        counts: list[int] = torch.bincount(self.labels[: self.num_original], minlength=self.num_classes).tolist()
        return counts

    def fingerprint(self) -> str:
        """Return a digest of labels, file names and contents in their order; equal splits have equal digests.

        The content of small images is their pixels, that of large ones the sizes of their files.
        """
        digest = hashlib.sha256(f"{self.num_classes} {len(self)} ".encode())
        digest.update(self.labels.numpy().tobytes())
        if self.weights is not None:
            digest.update(self.weights.numpy().tobytes())
        digest.update("\n".join(map(os.path.basename, self.paths)).encode())
        if self.num_generated:
            digest.update(f"{self.num_generated} generated".encode())
        images = self.load()
        if isinstance(images, Tensor):
            digest.update(images.contiguous().numpy().data)
        else:
            digest.update(" ".join(map(str, images.sizes())).encode())
        return digest.hexdigest()[:16]


def _load_files(name: str, paths: Sequence[str], *, labels: Tensor, options: ReadOptions) -> Tensor | ImageFiles:
    """Decode all files if they are small; otherwise check that they exist."""
    bad_images = options.bad_images
    if max(first_size(paths, skip=bad_images is not None)) <= SMALL_SIDE:
        errors: dict[int, UserError] = {}
        images = read_images(paths, errors if bad_images else None)
        if images is not None:
            if bad_images:
                bad = {index: BadImage(paths[index], str(error)) for index, error in sorted(errors.items())}
                bad_images.add(bad.values())
                replace_bad(images, labels, bad=bad)
            return images
    return _open_files(name, paths, labels=labels, options=options)


def _open_files(name: str, paths: Sequence[str], *, labels: Tensor, options: ReadOptions) -> ImageFiles:
    """Return files that are decoded on access, after checking that they exist."""
    bad_images = options.bad_images
    limit = bad_images.limit if bad_images else 0
    if options.in_memory:
        files: ImageFiles = MemoryFiles(paths, labels, name=name, limit=limit, fast=options.fast)
    else:
        files = ImageFiles(paths, labels, limit=limit, fast=options.fast)
    missing = files.missing()
    if bad_images:
        bad_images.add(missing)
    elif missing:
        raise UserError(
            f"{name}: {len(missing)} of {len(paths)} image files do not exist, the first is {missing[0].path}"
        )
    return files


def replace_bad(images: Tensor, labels: Tensor, *, bad: Mapping[int, BadImage]) -> None:
    """Replace the images that could not be read by others of their classes, in place.

    Args:
        images: Images, (N, ...).
        labels: Labels, (N,).
        bad: The images that could not be read, by index.

    Raises:
        UserError: A class has no other image.
    """
    for index, image in bad.items():
        other = next((other for other in replacements(labels, index) if other not in bad), None)
        if other is None:
            raise no_replacement([image], int(labels[index]))
        images[index] = images[other]
